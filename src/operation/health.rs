//! `health`: how the daemon is.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Effect, Error, Operation, Tool, error::millis};
use crate::discord::GuardState;

/// Tells how the daemon is: whether it takes calls, how many are under way, and where it sends them.
///
/// Asks nothing of Discord and needs no token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {}

/// How the daemon is.
#[derive(Serialize, JsonSchema)]
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
    /// What Discord refused lately, and what follows from it.
    guard: GuardReply,
}

/// What Discord refused this machine's address in the last ten minutes: at 10,000 answers of 401, 403
/// or 429 it would be kept out.
#[derive(Serialize, JsonSchema)]
struct GuardReply {
    /// What callers are told.
    status: GuardStatus,
    /// Refusals counted.
    counted: usize,
    /// How many there may be; then every call is refused.
    limit: usize,
    /// How many of them are the asking peer's: a user id at a Unix socket, or an address at a port.
    peer_counted: usize,
    /// How many that peer may have; then its calls are refused.
    peer_limit: usize,
    /// When Cloudflare keeps out this machine's address: for how long, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// What callers are told.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GuardStatus {
    /// Cloudflare keeps out this machine's address: no call is sent.
    Banned,
    /// As many refusals as there may be: no call is sent.
    Full,
    /// Nothing is counted, because the settings say so.
    Off,
    /// Calls are sent.
    Open,
    /// The asking peer has had its share: its calls are not sent.
    PeerFull,
}

/// Whether calls are taken.
#[derive(Serialize, JsonSchema)]
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
            guard: call.hall.exit.guard(call.peer).into(),
        })
    }
}

impl From<GuardState> for GuardReply {
    fn from(state: GuardState) -> Self {
        Self {
            status: if !state.on {
                GuardStatus::Off
            } else if state.banned_for.is_some() {
                GuardStatus::Banned
            } else if state.counted >= state.limit {
                GuardStatus::Full
            } else if state.peer_counted >= state.peer_limit {
                GuardStatus::PeerFull
            } else {
                GuardStatus::Open
            },
            counted: state.counted,
            limit: state.limit,
            peer_counted: state.peer_counted,
            peer_limit: state.peer_limit,
            retry_after_ms: state.banned_for.map(millis),
        }
    }
}
