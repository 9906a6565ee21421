//! What the process counts of itself, and how Prometheus reads it.
//!
//! No token, id or peer is ever a label, and no label has more values than the program and its
//! settings know.

mod calls;
mod connections;
mod format;
mod label;
mod page;
mod process;
mod text;
mod upstream;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    registry::Registry,
};

pub use self::{
    calls::Method,
    connections::{Connection, Door},
    format::Format,
    label::{Framing, Outcome, Refusal},
    upstream::{Class, HeldBack, Limiter, Sent, Upstream},
};
use self::{calls::Methods, connections::Doors, label::Counts, text::Page};

/// The process as `health` and Prometheus are told of it.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    begun: SystemTime,
    in_flight: AtomicUsize,
    draining: AtomicBool,
    refusals: Counts<Refusal>,
    methods: Methods,
    doors: Doors,
    upstream: Upstream,
}

/// How the guard is.
#[derive(Clone, Copy, Debug)]
pub struct GuardFigures {
    /// Answers that Discord counts against this machine's address.
    pub counted: usize,
    /// How many of them there may be.
    pub limit: usize,
    /// How long Cloudflare keeps out this machine's address.
    pub banned_for: Option<Duration>,
}

/// A call under way; dropping it ends the count.
#[derive(Debug)]
pub struct InFlight<'a>(&'a Metrics);

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            begun: SystemTime::now(),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            refusals: Counts::default(),
            methods: Methods::default(),
            doors: Doors::default(),
            upstream: Upstream::default(),
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

    /// Counts somebody who was turned away.
    pub fn refuse(&self, why: Refusal) {
        self.refusals.add(why, 1);
    }

    /// The method that is called `name` in figures: never what a caller made up.
    pub fn method(&self, name: &'static str) -> Arc<Method> {
        self.methods.named(name)
    }

    /// The door that is called `name` in figures: what the settings call it, or its kind.
    pub fn door(&self, name: &str) -> Arc<Door> {
        self.doors.named(name)
    }

    /// The way to Discord.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Everything counted, and how the guard is, in the format that whoever asks takes.
    #[must_use]
    pub fn text(self: &Arc<Self>, guard: GuardFigures, format: Format) -> String {
        let mut registry = Registry::default();
        let metrics = Arc::clone(self);
        registry.register_collector(Box::new(Now { metrics, guard }));
        let mut text = String::new();
        // A String takes any text, so there is nothing to report.
        let _ = encode(&mut text, &registry);
        format.of(text)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that is counted, at the moment it is asked for.
#[derive(Debug)]
struct Now {
    metrics: Arc<Metrics>,
    guard: GuardFigures,
}

impl Collector for Now {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.metrics.write(&mut Page(encoder), &self.guard)
    }
}
