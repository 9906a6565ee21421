//! Tells systemd how the daemon is. Does nothing where there is no systemd.

use std::time::Duration;

use futures_util::future::join_all;
use sd_notify::NotifyState;
use tokio::time::{self, MissedTickBehavior};

use crate::threads::Threads;

/// Every door is open and served; `status` says so to people.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The settings are being read again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(err) => tracing::warn!(%err, "systemd could not be told"),
    }
}

/// The doors are being closed and calls are being finished; `status` says so to people.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Tells the watchdog that the daemon is alive, and people its `status`, twice in the time that the
/// watchdog waits; without one this ends at once.
///
/// It is told only as long as every one of the `threads` runs new tasks, and that which this runs on
/// wakes tasks at their time.
pub async fn keep_alive(threads: Threads, status: impl Fn() -> String) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|it| !it.is_zero()) else {
        return;
    };
    beat_every(patience / 2, &threads, || {
        tell(&[NotifyState::Watchdog, NotifyState::Status(&status())]);
    })
    .await;
}

/// Beats in this interval, but only if every thread has run a new task right before.
async fn beat_every(interval: Duration, threads: &Threads, beat: impl Fn()) {
    let mut ticks = time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let new = threads.all().map(|thread| thread.spawn(async {}));
        if join_all(new).await.iter().all(Result::is_ok) {
            beat();
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(err) = sd_notify::notify(states) {
        tracing::warn!(%err, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::threads::runtime;

    #[test]
    fn a_thread_that_hangs_is_not_alive() {
        let first = runtime().unwrap();
        let (threads, others) = Threads::start(&first).unwrap();
        let (beat, beats) = mpsc::channel();
        let last = threads.all().last().unwrap().clone();
        let (hung, hangs) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let watched = threads.clone();
        let over = CancellationToken::new();
        let until = over.clone().cancelled_owned();
        let driven = thread::spawn(move || {
            first.spawn(async move {
                let beat = || {
                    // The test may be over.
                    let _ = beat.send(());
                };
                beat_every(Duration::from_millis(1), &watched, beat).await;
            });
            first.block_on(until);
        });
        beats.recv_timeout(Duration::from_secs(30)).unwrap();
        last.spawn(async move {
            hung.send(()).unwrap();
            released.recv().unwrap();
        });
        hangs.recv_timeout(Duration::from_secs(30)).unwrap();
        // What was told before the thread hung.
        while beats.try_recv().is_ok() {}
        let silent = beats.recv_timeout(Duration::from_millis(50));
        assert_eq!(silent, Err(mpsc::RecvTimeoutError::Timeout));
        release.send(()).unwrap();
        beats.recv_timeout(Duration::from_secs(30)).unwrap();
        over.cancel();
        driven.join().unwrap();
        others.end();
    }
}
