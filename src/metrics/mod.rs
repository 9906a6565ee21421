//! What the process counts of itself, and how Prometheus reads it.
//!
//! No token, id or peer is ever a label, and no label has more values than the program and its
//! settings know.

mod calls;
mod connections;
mod label;
mod process;
mod text;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    registry::{Registry, Unit},
};
use tokio::runtime::Handle;

pub use self::{
    calls::Method,
    connections::{Connection, Door},
    label::{Framing, Outcome, Refusal},
};
use self::{
    calls::Methods,
    connections::Doors,
    label::{Counts, Label},
    text::Page,
};

/// What [`Metrics::text`] is, for whoever asks over HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process as `health` and Prometheus are told of it.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    in_flight: AtomicUsize,
    draining: AtomicBool,
    refusals: Counts<Refusal>,
    methods: Methods,
    doors: Doors,
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
            refusals: Counts::default(),
            methods: Methods::default(),
            doors: Doors::default(),
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

    /// Everything counted, in the text format of `OpenMetrics`.
    #[must_use]
    pub fn text(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Now(Arc::clone(self))));
        let mut text = String::new();
        // A String takes any text, so there is nothing to report.
        let _ = encode(&mut text, &registry);
        text
    }

    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(
            "discordd_calls_in_flight",
            None,
            "Calls to Discord under way",
        )?
        .put(&[], &self.in_flight())?;
        self.write_calls(page)?;
        self.write_connections(page)?;
        let help = "What the daemon turned away itself, by reason";
        let mut refusals = page.counter("discordd_refusals", None, help)?;
        for (why, count) in self.refusals.all() {
            refusals.put(&[(Refusal::KEY, &why.name())], count)?;
        }
        let tasks = Handle::try_current().map_or(0, |it| it.metrics().num_alive_tasks());
        let help = "Tasks of the runtime that are alive";
        page.gauge("discordd_runtime_tasks", None, help)?
            .put(&[], &tasks)
    }

    fn write_calls(&self, page: &mut Page<'_>) -> fmt::Result {
        let methods = self.methods.all();
        let help = "Calls that are over, by method and by what came of them";
        let mut calls = page.counter("discordd_calls", None, help)?;
        for method in &methods {
            for (outcome, count) in method.outcomes().all() {
                let labels = [("method", method.name()), (Outcome::KEY, &outcome.name())];
                calls.put(&labels, count)?;
            }
        }
        let help = "How long calls took, from when they were read to their answers";
        let unit = Some(&Unit::Seconds);
        let mut times = page.histogram("discordd_call_duration", unit, help)?;
        for method in &methods {
            times.put(&[("method", method.name())], method.times())?;
        }
        Ok(())
    }

    fn write_connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let doors = self.doors.all();
        let help = "Connections accepted, by door";
        let mut accepted = page.counter("discordd_connections_accepted", None, help)?;
        for door in &doors {
            accepted.put(&[("door", door.name())], door.accepted())?;
        }
        let help = "Connections by what they turned out to speak; one that goes on as WebSocket \
                    counts as both";
        let mut begun = page.counter("discordd_connections_begun", None, help)?;
        for door in &doors {
            door.each(|labels, kind, framing| begun.put(labels, kind.begun.get(framing)))?;
        }
        let help = "Connections that are open, by what they speak";
        let mut open = page.gauge("discordd_connections_open", None, help)?;
        for door in &doors {
            door.each(|labels, kind, framing| open.put(labels, &kind.open.get(framing)))?;
        }
        Ok(())
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
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.0.write(&mut page)?;
        process::write(&mut page)
    }
}
