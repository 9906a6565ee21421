//! Where a connection is served, and how it goes from one thread to another.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{runtime::Handle, task::yield_now};
use tokio_util::task::TaskTracker;

use super::Given;

type Served = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Has a connection watched by the thread that it is called on.
type Follow = Box<dyn Fn() + Send + Sync>;

/// The seat of a connection: on the porch at first, or inside.
#[derive(Clone)]
pub struct Seat(Option<Arc<Places>>);

struct Places {
    porch: Handle,
    inside: Given,
    /// Whether it is to be served inside, from its next wait on.
    wanted_inside: AtomicBool,
    follow: Follow,
}

/// What is done on a connection, on the thread where its seat is.
struct Seated {
    served: Option<Served>,
    places: Arc<Places>,
    tracker: TaskTracker,
    inside: bool,
}

impl Seat {
    /// Of whoever is served where he is.
    #[must_use]
    pub fn fixed() -> Self {
        Self(None)
    }

    pub(super) fn on(porch: Handle, inside: Given, follow: Follow) -> Self {
        Self(Some(Arc::new(Places {
            porch,
            inside,
            wanted_inside: AtomicBool::new(false),
            follow,
        })))
    }

    /// Has the connection served inside from now on.
    pub async fn go_in(&self) {
        if self.want(true) {
            yield_now().await;
        }
    }

    /// Has the connection served on the porch from now on.
    pub async fn go_out(&self) {
        if self.want(false) {
            yield_now().await;
        }
    }

    /// Has the connection served on the porch from its next wait on.
    pub fn send_out(&self) {
        self.want(false);
    }

    /// Whether it has to move.
    fn want(&self, inside: bool) -> bool {
        let wanted = self.0.as_ref().map(|places| &places.wanted_inside);
        wanted.is_some_and(|wanted| wanted.swap(inside, Ordering::Relaxed) != inside)
    }

    /// Serves the connection where it has its seat at that time, until it is over.
    pub fn spawn(&self, tracker: &TaskTracker, served: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Some(places) => {
                let (thread, seated) = Seated::new(places, tracker, Box::pin(served));
                tracker.spawn_on(seated, &thread);
            }
            None => {
                tracker.spawn(served);
            }
        }
    }
}

impl Seated {
    fn new(places: &Arc<Places>, tracker: &TaskTracker, served: Served) -> (Handle, Self) {
        let inside = places.wanted_inside.load(Ordering::Relaxed);
        let thread = if inside {
            &places.inside.runtime
        } else {
            &places.porch
        };
        let seated = Self {
            served: Some(served),
            places: Arc::clone(places),
            tracker: tracker.clone(),
            inside,
        };
        (thread.clone(), seated)
    }

    /// Goes where the connection is to be served now.
    fn go(&self, served: Served) {
        let (thread, seated) = Self::new(&self.places, &self.tracker, served);
        let moved = async move {
            (seated.places.follow)();
            // The thread looks at once whether anything can be read or written there.
            yield_now().await;
            seated.await;
        };
        self.tracker.spawn_on(moved, &thread);
    }
}

impl Future for Seated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(served) = &mut self.served else {
            return Poll::Ready(());
        };
        if served.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.places.wanted_inside.load(Ordering::Relaxed) == self.inside {
            return Poll::Pending;
        }
        if let Some(served) = self.served.take() {
            self.go(served);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        thread::{self, ThreadId},
    };

    use tokio::sync::oneshot;

    use super::*;
    use crate::threads::{Threads, runtime};

    #[test]
    fn a_connection_goes_where_it_is_wanted_and_is_followed_there() {
        let porch = runtime().unwrap();
        let (threads, others) = Threads::start(&porch).unwrap();
        let here = || thread::current().id();
        let followed = Arc::new(Mutex::new(Vec::<ThreadId>::new()));
        let follow = Arc::clone(&followed);
        let seat = threads.seat(move || follow.lock().unwrap().push(here()));
        let (at, outside) = (seat.clone(), here());
        let (tracker, (went, gone)) = (TaskTracker::new(), oneshot::channel());
        porch.block_on(async {
            seat.spawn(&tracker, async move {
                assert_eq!(here(), outside);
                at.go_out().await;
                assert_eq!(here(), outside);
                at.go_in().await;
                let inside = here();
                assert_ne!(inside, outside);
                at.send_out();
                assert_eq!(here(), inside);
                yield_now().await;
                assert_eq!(here(), outside);
                at.go_in().await;
                assert_eq!(here(), inside);
                followed.lock().unwrap().push(inside);
                assert_eq!(*followed.lock().unwrap(), [inside, outside, inside, inside]);
                went.send(()).unwrap();
            });
            gone.await.unwrap();
        });
        others.end();
    }

    #[tokio::test]
    async fn whoever_has_no_other_place_is_served_where_he_is() {
        let (seat, tracker) = (
            Threads::current().seat(|| unreachable!()),
            TaskTracker::new(),
        );
        let (at, here) = (seat.clone(), thread::current().id());
        let (stayed, stays) = oneshot::channel();
        seat.spawn(&tracker, async move {
            at.go_in().await;
            assert_eq!(thread::current().id(), here);
            at.go_out().await;
            assert_eq!(thread::current().id(), here);
            stayed.send(()).unwrap();
        });
        stays.await.unwrap();
    }
}
