//! The threads that serve: the porch, and inside one for each core, each with a runtime of its own.
//!
//! A connection stays on the thread inside that it is given to, with its calls and what they ask of
//! Discord. Where every thread takes what there is to do, a call is handed from one to another at nearly
//! every step, and waking the other costs more than the step.
//!
//! On the porch is whoever has not yet asked for anything, and whoever sends or leaves unread more than
//! a call has to: a flood costs the porch its time, and those inside do not wait for it. It must not
//! know what is served.

mod seat;

use std::{
    io, iter,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

pub use self::seat::Seat;

/// The runtimes, each driven by a thread.
#[derive(Clone)]
pub struct Threads {
    porch: Handle,
    inside: Vec<Thread>,
}

#[derive(Clone)]
struct Thread {
    runtime: Handle,
    /// One more for each thing that is given to it.
    given: Arc<()>,
}

/// The thread that something is given to, until this is dropped.
struct Given {
    runtime: Handle,
    _counted: Arc<()>,
}

/// The threads beside the one that they were started from.
pub struct Others {
    over: CancellationToken,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    /// The one that this is called on: a porch, and nothing behind it.
    ///
    /// # Panics
    ///
    /// When it has no runtime.
    #[must_use]
    pub fn current() -> Self {
        Self {
            porch: Handle::current(),
            inside: Vec::new(),
        }
    }

    /// Starts those inside. Whoever calls this has to drive the `porch`.
    ///
    /// # Errors
    ///
    /// When the system gives no more.
    pub fn start(porch: &Runtime) -> io::Result<(Self, Others)> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let over = CancellationToken::new();
        let (mut inside, mut running) = (Vec::new(), Vec::new());
        for number in 1..=cores {
            let runtime = runtime()?;
            inside.push(Thread::of(runtime.handle().clone()));
            let over = over.clone();
            let serve = move || {
                runtime.block_on(over.cancelled());
                runtime.shutdown_background();
            };
            let name = format!("serve-{number}");
            running.push(thread::Builder::new().name(name).spawn(serve)?);
        }
        let porch = porch.handle().clone();
        Ok((Self { porch, inside }, Others { over, running }))
    }

    /// The runtimes of all of them.
    pub fn all(&self) -> impl Iterator<Item = &Handle> {
        let inside = self.inside.iter().map(|thread| &thread.runtime);
        iter::once(&self.porch).chain(inside)
    }

    /// A seat for one connection more: on the porch, and inside where the fewest are. When it goes to
    /// another thread, `follow` is called there.
    #[must_use]
    pub fn seat(&self, follow: impl Fn() + Send + Sync + 'static) -> Seat {
        let inside = self.inside.iter();
        let least = inside.min_by_key(|it| Arc::strong_count(&it.given));
        least.map_or_else(Seat::fixed, |thread| {
            let Thread { runtime, given } = thread.clone();
            let inside = Given {
                runtime,
                _counted: given,
            };
            Seat::on(self.porch.clone(), inside, Box::new(follow))
        })
    }
}

impl Thread {
    fn of(runtime: Handle) -> Self {
        Self {
            runtime,
            given: Arc::default(),
        }
    }
}

impl Others {
    /// Ends them, and with them all that still runs there.
    pub fn end(self) {
        self.over.cancel();
        for thread in self.running {
            // Of a panic there it was told already.
            let _ = thread.join();
        }
    }
}

/// The runtime of one thread.
///
/// # Errors
///
/// When the system gives none.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_to_a_thread_runs_there_until_all_end() {
        let first = runtime().unwrap();
        let (threads, others) = Threads::start(&first).unwrap();
        let here = thread::current().id();
        first.block_on(async {
            for (number, runtime) in threads.all().enumerate() {
                let ran = runtime.spawn(async { thread::current().id() }).await;
                assert_eq!(ran.unwrap() == here, number == 0);
            }
        });
        others.end();
    }

    #[test]
    fn each_thread_inside_is_given_as_much_as_the_others() {
        let porch = runtime().unwrap();
        let (threads, others) = Threads::start(&porch).unwrap();
        let cores = threads.inside.len();
        let mut seats: Vec<Seat> = (0..cores).map(|_| threads.seat(|| ())).collect();
        let given = || threads.inside.iter().map(|it| Arc::strong_count(&it.given));
        assert!(given().all(|count| count == 2));
        seats.pop();
        assert_eq!(given().sum::<usize>(), 2 * cores - 1);
        seats.push(threads.seat(|| ()));
        assert!(given().all(|count| count == 2));
        others.end();
    }
}
