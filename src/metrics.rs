//! What the process counts of itself.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// The process as `health` tells of it.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    in_flight: AtomicUsize,
    draining: AtomicBool,
}

/// A call under way; dropping it ends the count.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Metrics);

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
        }
    }
}

impl Metrics {
    /// How long the process has run.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a call for as long as the result lives.
    #[must_use]
    pub fn begin_call(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Says that the daemon is stopping.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon is stopping.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
