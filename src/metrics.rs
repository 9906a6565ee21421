//! What the process counts of itself, and how Prometheus reads it.
//!
//! No token, id or peer is ever a label.

use std::{
    fmt, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use tokio::runtime::Handle;

/// What [`Metrics::text`] is, for whoever asks over HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process as `health` and Prometheus are told of it.
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

    /// Everything counted, in the text format of `OpenMetrics`.
    #[must_use]
    pub fn text(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Now(Arc::clone(self))));
        let mut text = String::new();
        // A String takes any text, so there is nothing to report.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is read at the moment it is asked for.
#[derive(Debug)]
struct Now(Arc<Metrics>);

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tasks = Handle::try_current().map_or(0, |it| it.metrics().num_alive_tasks());
        let in_flight = self.0.in_flight();
        for (name, help, value) in [
            (
                "discordd_calls_in_flight",
                "Calls to Discord under way",
                Some(in_flight as u64),
            ),
            (
                "discordd_runtime_tasks",
                "Tasks of the runtime that are alive",
                Some(tasks as u64),
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                open_descriptors(),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory",
                status("VmRSS:").map(kib),
            ),
            ("process_threads", "Threads", status("Threads:")),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

fn kib(count: u64) -> u64 {
    count * 1024
}

/// A number that the kernel tells of the process.
fn status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<u64> {
    // One of them is open only to count the others.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count.saturating_sub(1)).ok()
}
