//! `health`: how the daemon is.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Effect, Error, Operation, Tool};

/// Tells how the daemon is: whether it takes calls, how many are under way, and where it sends them.
///
/// Asks nothing of Discord and needs no token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {}

/// How the daemon is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HealthReply {
    /// Whether calls are taken.
    status: Status,
    /// Always true: nothing is kept between calls.
    stateless: bool,
    /// The daemon's clock, in RFC 3339.
    timestamp: String,
    /// The daemon's version.
    version: &'static str,
    /// How long the daemon has run, in seconds.
    uptime_seconds: u64,
    /// Calls to Discord under way.
    in_flight: usize,
    /// Where calls go: discord, sandbox, or the host of a proxy.
    upstream: String,
}

/// Whether calls are taken.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// Calls are taken.
    Healthy,
    /// The daemon is stopping: calls under way are finished, new ones are not taken.
    Draining,
}

impl Operation for Health {
    const NAME: &'static str = "health";
    const EFFECT: Effect = Effect::Local;
    const POSITIONS: &'static [&'static str] = &[];
    const TOOL: Option<Tool> = None;
    type Reply = HealthReply;

    async fn call(self, call: &Call) -> Result<HealthReply, Error> {
        let metrics = &call.hall.metrics;
        Ok(HealthReply {
            status: if metrics.draining() {
                Status::Draining
            } else {
                Status::Healthy
            },
            stateless: true,
            timestamp: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: metrics.uptime().as_secs(),
            in_flight: metrics.in_flight(),
            upstream: call.hall.upstream.clone(),
        })
    }
}
