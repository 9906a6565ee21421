//! A call that is carried out to its end: whoever hangs up cuts no message in half.
//!
//! It runs where it is waited for, and only without anybody there on its own: handing every call to a
//! task of its own would wake another thread for it, and this one again for its outcome.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// A call that is waited for. If this is dropped before its end, it goes on on its own.
pub(super) struct Onward<T: Send + 'static> {
    call: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tracker: TaskTracker,
}

impl<T: Send + 'static> Onward<T> {
    /// Makes `call` one that goes on, on `tracker`, when nobody waits for it any more.
    pub(super) fn new(
        call: impl Future<Output = T> + Send + 'static,
        tracker: TaskTracker,
    ) -> Self {
        Self {
            call: Some(Box::pin(call)),
            tracker,
        }
    }
}

impl<T: Send + 'static> Future for Onward<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let call = self.call.as_mut().expect("nobody waits beyond its end");
        let outcome = ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(outcome)
    }
}

impl<T: Send + 'static> Drop for Onward<T> {
    fn drop(&mut self) {
        // There is no runtime when the process ends.
        if let (Some(call), Ok(runtime)) = (self.call.take(), Handle::try_current()) {
            self.tracker.spawn_on(call, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_call_goes_on_when_nobody_waits_for_it() {
        let tracker = TaskTracker::new();
        for begun in [false, true] {
            let (go, told) = oneshot::channel::<()>();
            let (done, seen) = oneshot::channel();
            let call = async move {
                told.await.unwrap();
                done.send(()).unwrap();
            };
            let mut call = Onward::new(call, tracker.clone());
            if begun {
                assert!((&mut call).now_or_never().is_none());
            }
            drop(call);
            go.send(()).unwrap();
            seen.await.unwrap();
        }
        assert_eq!(Onward::new(async { 7 }, tracker.clone()).await, 7);
        tracker.close();
        tracker.wait().await;
    }
}
