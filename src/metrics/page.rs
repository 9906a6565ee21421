//! The figures as they are written for Prometheus: their names, their labels, and what they are.

use std::fmt;

use prometheus_client::registry::Unit;
use tokio::runtime::Handle;

use super::{
    GuardFigures, Metrics,
    label::{Label, Outcome},
    process,
    text::Page,
};

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);

impl Metrics {
    /// Writes everything that is counted.
    pub(super) fn write(&self, page: &mut Page<'_>, guard: &GuardFigures) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.info("discordd_build", "The program", &version)?;
        self.write_calls(page)?;
        let help = "What the daemon turned away itself, by reason";
        page.counter("discordd_refusals", None, help)?
            .put_all(&self.refusals)?;
        self.write_connections(page)?;
        self.write_upstream(page)?;
        guard.write(page)?;
        let tasks = Handle::try_current().map_or(0, |it| it.metrics().num_alive_tasks());
        let help = "Tasks of the runtime that are alive";
        page.gauge("discordd_runtime_tasks", None, help)?
            .put(&[], &tasks)?;
        process::write(page, self.begun)
    }

    fn write_calls(&self, page: &mut Page<'_>) -> fmt::Result {
        let methods = self.methods.all();
        let help = "Calls to Discord under way";
        page.gauge("discordd_calls_in_flight", None, help)?
            .put(&[], &self.in_flight())?;
        let help = "Calls that are over, by method and by what came of them";
        let mut calls = page.counter("discordd_calls", None, help)?;
        for method in &methods {
            for (outcome, count) in method.outcomes().all() {
                let labels = [("method", method.name()), (Outcome::KEY, &outcome.name())];
                calls.put(&labels, count)?;
            }
        }
        let help = "How long calls took, from when they were read to their answers";
        let mut times = page.histogram("discordd_call_duration", SECONDS, help)?;
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

    fn write_upstream(&self, page: &mut Page<'_>) -> fmt::Result {
        let upstream = &self.upstream;
        let help = "Requests to Discord, each time they were sent, by what they were for and what \
                    came of them";
        let mut requests = page.counter("discordd_upstream_requests", None, help)?;
        for (route, classes) in upstream.requests() {
            for (class, count) in classes.all() {
                let labels = [("route", route.as_str()), ("class", &class.name())];
                requests.put(&labels, count)?;
            }
        }
        let help = "How long requests to Discord took, connecting included";
        page.histogram("discordd_upstream_duration", SECONDS, help)?
            .put(&[], upstream.times())?;
        let help = "Requests to Discord that were sent once more";
        page.counter("discordd_upstream_repeats", None, help)?
            .put(&[], upstream.repeats())?;
        let help = "Waits of requests that a limit made, by what limits";
        page.counter("discordd_rate_limit_waits", None, help)?
            .put_all(upstream.waits())?;
        let help = "How long those waits were";
        let mut waited = page.counter("discordd_rate_limit_wait", SECONDS, help)?;
        for (limiter, millis) in upstream.waited_ms().all() {
            waited.put_seconds(&[("scope", &limiter.name())], millis)?;
        }
        let help = "Requests that the guard held back, each time, by reason";
        page.counter("discordd_guard_held_back", None, help)?
            .put_all(upstream.held_back())
    }
}

impl GuardFigures {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let banned = self.banned_for.unwrap_or_default().as_secs_f64();
        let help = "Answers that Discord counts against this machine's address, in ten minutes";
        page.gauge("discordd_guard_counted", None, help)?
            .put(&[], &self.counted)?;
        let help = "How many of them there may be before the guard holds everything back";
        page.gauge("discordd_guard_limit", None, help)?
            .put(&[], &self.limit)?;
        let help = "How long Cloudflare still keeps out this machine's address";
        page.gauge("discordd_guard_banned", SECONDS, help)?
            .put(&[], &banned)
    }
}
