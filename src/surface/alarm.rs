//! The clock of an HTTP connection: one timer for all its heads.
//!
//! hyper sets a timer before each head, and drops it when the head has come. Here the timer stays as it
//! was set, and only when it rings, which is seldom, is it set again for the time that is left.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Sleep, Timer};
use tokio::time::{Instant, sleep_until};

/// A clock, and its one timer.
#[derive(Clone)]
pub(super) struct Alarm(Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>);

/// A time that is waited for.
struct Wait {
    alarm: Alarm,
    until: Instant,
}

impl Alarm {
    /// Sets one to ring after this time at the soonest.
    pub(super) fn new(time: Duration) -> Self {
        let timer = sleep_until(Instant::now() + time);
        Self(Arc::new(Mutex::new(Box::pin(timer))))
    }
}

impl Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait {
            alarm: self.clone(),
            until: deadline.into(),
        })
    }
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.alarm.0.lock();
        let mut timer = timer.unwrap_or_else(PoisonError::into_inner);
        if timer.deadline() > self.until {
            timer.as_mut().reset(self.until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= self.until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.until);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_time_is_waited_for_whenever_the_timer_would_ring() {
        for set in [Duration::ZERO, SHORT, LONG] {
            let alarm = Alarm::new(set);
            for _ in 0..2 {
                let begun = Instant::now();
                alarm.sleep(SHORT).await;
                assert!(begun.elapsed() >= SHORT, "{set:?}");
                assert!(timeout(SHORT, alarm.sleep(LONG)).await.is_err(), "{set:?}");
            }
        }
    }
}
