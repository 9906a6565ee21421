//! Tells systemd how the daemon is. Does nothing where there is no systemd.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{self, MissedTickBehavior};

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
/// It has to be a task of the runtime that serves the calls: it is told only as long as that wakes
/// tasks at their time and runs new ones.
pub async fn keep_alive(status: impl Fn() -> String) {
    let Some(patience) = sd_notify::watchdog_enabled().filter(|it| !it.is_zero()) else {
        return;
    };
    beat_every(patience / 2, || {
        tell(&[NotifyState::Watchdog, NotifyState::Status(&status())]);
    })
    .await;
}

/// Beats in this interval, but only if the runtime has run a new task right before.
async fn beat_every(interval: Duration, beat: impl Fn()) {
    let mut ticks = time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if tokio::spawn(async {}).await.is_ok() {
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
    use std::sync::mpsc;

    use tokio::runtime;

    use super::*;

    #[test]
    fn a_runtime_that_hangs_is_not_alive() {
        let threads = 2;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_time()
            .build()
            .unwrap();
        let (beat, beats) = mpsc::channel();
        runtime.spawn(beat_every(Duration::from_millis(1), move || {
            // The test may be over.
            let _ = beat.send(());
        }));
        beats.recv_timeout(Duration::from_secs(30)).unwrap();
        let (hung, hangs) = mpsc::channel();
        let releases: Vec<_> = (0..threads)
            .map(|_| {
                let (release, released) = mpsc::channel::<()>();
                let hung = hung.clone();
                runtime.spawn(async move {
                    hung.send(()).unwrap();
                    released.recv().unwrap();
                });
                release
            })
            .collect();
        for _ in 0..threads {
            hangs.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        // What was told before the last thread hung.
        while beats.try_recv().is_ok() {}
        let silent = beats.recv_timeout(Duration::from_millis(50));
        assert_eq!(silent, Err(mpsc::RecvTimeoutError::Timeout));
        for release in releases {
            release.send(()).unwrap();
        }
        beats.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
