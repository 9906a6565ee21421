//! Calls: what came of them, and how long they took, by method.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::label::{Counts, Outcome};

/// Upper bounds of the times that are told apart, in milliseconds; the last is as long as a call may
/// take by default.
const BOUNDS_MS: [u16; 14] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
];

/// The methods there are.
#[derive(Debug, Default)]
pub(super) struct Methods(Mutex<Vec<Arc<Method>>>);

/// What is counted of one method.
#[derive(Debug)]
pub struct Method {
    name: &'static str,
    outcomes: Counts<Outcome>,
    times: Times,
}

/// Times, counted by how long they are.
#[derive(Debug, Default)]
pub(super) struct Times {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Methods {
    /// The method of this name, which there is from now on.
    pub(super) fn named(&self, name: &'static str) -> Arc<Method> {
        let mut methods = self.lock();
        if let Some(method) = methods.iter().find(|method| method.name == name) {
            return Arc::clone(method);
        }
        let method = Arc::new(Method {
            name,
            outcomes: Counts::default(),
            times: Times::default(),
        });
        methods.push(Arc::clone(&method));
        method
    }

    pub(super) fn all(&self) -> Vec<Arc<Method>> {
        self.lock().clone()
    }

    /// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Method>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Method {
    /// What it is called in figures and in the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Counts a call that is over.
    pub fn count(&self, outcome: Outcome, took: Duration) {
        self.outcomes.add(outcome, 1);
        self.times.add(took);
    }

    pub(super) fn outcomes(&self) -> &Counts<Outcome> {
        &self.outcomes
    }

    pub(super) fn times(&self) -> &Times {
        &self.times
    }
}

impl Times {
    pub(super) fn add(&self, time: Duration) {
        let bounds = BOUNDS_MS.iter().copied().map(u64::from);
        let longer = bounds.take_while(|bound| time > Duration::from_millis(*bound));
        self.counts[longer.count()].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// All times together, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        let nanoseconds = self.nanoseconds.load(Ordering::Relaxed);
        Duration::from_nanos(nanoseconds).as_secs_f64()
    }

    /// How many times were up to each bound, in seconds, and longer than the one before.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_MS.iter().map(|bound| f64::from(*bound) / 1e3);
        let counts = self.counts.iter().map(|it| it.load(Ordering::Relaxed));
        bounds.chain([f64::INFINITY]).zip(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_up_to_the_first_bound_that_it_does_not_pass() {
        let times = Times::default();
        for micros in [0, 1_000, 1_001, 30_000_000, 30_000_001] {
            times.add(Duration::from_micros(micros));
        }
        let buckets = times.buckets();
        assert_eq!(buckets[0], (0.001, 2));
        assert_eq!(buckets[1], (0.002, 1));
        assert_eq!(buckets[13], (30.0, 1));
        assert_eq!(buckets[14], (f64::INFINITY, 1));
        assert!((times.seconds() - 60.002_002).abs() < 1e-9);
    }
}
