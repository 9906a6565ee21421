//! Why a request to Discord did not do what was asked, told as facts.

use std::{fmt, time::Duration};

use serde::Serialize;

/// Whether what was asked for happened at Discord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivered {
    /// It did not happen.
    No,
    /// It cannot be known.
    Unknown,
    /// It happened.
    Yes,
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why a request to Discord failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Discord answered something that cannot be read.
    #[error("discord's answer cannot be read: {why}")]
    BadAnswer {
        /// What is wrong with it.
        why: Unreadable,
        /// Its HTTP status.
        status: u16,
        /// Whether what was asked for happened all the same.
        delivered: Delivered,
    },
    /// The request could not be made at all.
    #[error("the request to discord could not be built")]
    Build,
    /// The daemon did not ask Discord, because that would have done harm.
    #[error("{why}")]
    Guarded {
        /// Why.
        why: Guarded,
        /// How long that holds.
        retry_after: Duration,
        /// Whether an earlier attempt may have done what was asked for.
        delivered: Delivered,
    },
    /// Discord is limiting, or the address is kept out.
    #[error("rate limited by discord ({scope})")]
    RateLimited {
        /// What the limit is shared by.
        scope: Scope,
        /// How long Discord asks to wait.
        retry_after: Option<Duration>,
        /// What Discord said with it.
        said: Said,
        /// Whether an earlier attempt may have done what was asked for.
        delivered: Delivered,
    },
    /// Discord refused with a status of the 400s other than 408 and 429.
    #[error("{}", super::codes::sentence(.said))]
    Refused {
        /// What Discord said with it.
        said: Said,
        /// Whether an earlier attempt may have done what was asked for.
        delivered: Delivered,
    },
    /// The call's time was over before the answer was there.
    #[error("no answer from discord within the call's time, {phase}")]
    TimedOut {
        /// How far the request had come.
        phase: Phase,
        /// Whether it may have been carried out.
        delivered: Delivered,
    },
    /// There is no way to Discord, or Discord is out of order.
    #[error("discord is unavailable: {cause}")]
    Unavailable {
        /// What stands in the way.
        cause: Cause,
        /// Discord's words, if it was Discord that said so.
        said: Option<Said>,
        /// How long Discord asks to wait, if it does.
        retry_after: Option<Duration>,
        /// Whether it may have been carried out.
        delivered: Delivered,
    },
}

/// What stands between the daemon and Discord.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection: refused, unreachable, or the name is not known.
    Connect(String),
    /// The daemon's own way out cannot be reached.
    Exit(String),
    /// The connection was lost after it stood.
    Lost(String),
    /// The proxy did not open the way.
    Proxy(String),
    /// Discord, or a machine in between, answered 408 or with a status of the 500s.
    Status(u16),
    /// The other end did not prove to be Discord, or TLS failed otherwise.
    Tls(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Exit(why) => write!(f, "the daemon cannot reach its own way out: {why}"),
            Self::Lost(why) => write!(f, "the connection was lost: {why}"),
            Self::Proxy(why) => write!(f, "the proxy did not open the way: {why}"),
            Self::Status(status) => write!(f, "it answered with status {status}"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
        }
    }
}

/// Why the daemon did not ask Discord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// Cloudflare asked this machine's address to stay away.
    Banned,
    /// So much is under way that all of it refused would be too much.
    Crowded,
    /// The address has nearly as many refusals as Discord allows it.
    Limit,
    /// The peer has as many of them as its share.
    Share,
    /// Discord refused the token a moment ago.
    Token,
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Banned => {
                "rate limited by discord (cloudflare): it keeps out this machine's address for a \
                 time, and was not asked"
            }
            Self::Crowded => {
                "so many requests are under way that, were all of them refused, discord would \
                 keep out this machine's address: it was not asked"
            }
            Self::Limit => {
                "discord has refused so much that it would soon keep out this machine's address: \
                 it was not asked"
            }
            Self::Share => {
                "discord has refused this caller so much that it would soon keep out this \
                 machine's address: it was not asked"
            }
            Self::Token => {
                "Invalid Discord token: it was refused a moment ago, and discord was \
                            not asked again"
            }
        })
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It ended before its end.
    Cut,
    /// It is not JSON of the shape that Discord documents.
    Shape,
    /// It is a status that Discord does not document here.
    Status,
    /// It is larger than any answer of Discord's.
    TooLarge,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "it was cut short",
            Self::Shape => "it is not the JSON that discord documents",
            Self::Status => "its status is none that discord documents",
            Self::TooLarge => "it is too large",
        })
    }
}

/// What a rate limit is shared by.
/// See <https://discord.com/developers/docs/topics/rate-limits>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Cloudflare, in front of Discord, keeps out this machine's address.
    Cloudflare,
    /// All of the bot's requests.
    Global,
    /// What Discord refuses this machine's address; it is the daemon that limits.
    Guard,
    /// Everyone who uses the resource.
    Shared,
    /// The bot's requests on this route.
    User,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cloudflare => "cloudflare",
            Self::Global => "global",
            Self::Guard => "guard",
            Self::Shared => "shared",
            Self::User => "user",
        })
    }
}

/// What Discord said with a status that is no success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// Discord's own code, if the body named one.
    pub code: Option<u64>,
    /// Discord's message, shortened and without anything that looks like a token.
    pub message: Option<String>,
    /// Discord's field errors, flattened.
    pub fields: Vec<FieldError>,
}

/// One thing wrong with one field of the body sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where, dotted: `embeds.0.title`. Empty for the whole body.
    pub path: String,
    /// Discord's code, such as `BASE_TYPE_MAX_LENGTH`.
    pub code: String,
    /// Discord's sentence.
    pub message: String,
}

/// How far a request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was looking for a way to Discord.
    Connecting,
    /// Discord had begun to answer with this status.
    Reading(u16),
    /// It was sent, and nothing had come back.
    Waiting,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("while connecting"),
            Self::Reading(status) => write!(f, "in the middle of an answer with status {status}"),
            Self::Waiting => f.write_str("after the request was sent"),
        }
    }
}

impl Error {
    pub(super) fn guarded(why: Guarded, retry_after: Duration) -> Self {
        Self::Guarded {
            why,
            retry_after,
            delivered: Delivered::No,
        }
    }

    /// Adds what earlier attempts at the same thing may have done.
    pub(super) fn after(mut self, earlier: Delivered) -> Self {
        match &mut self {
            Self::Build => {}
            Self::BadAnswer { delivered, .. }
            | Self::Guarded { delivered, .. }
            | Self::RateLimited { delivered, .. }
            | Self::Refused { delivered, .. }
            | Self::TimedOut { delivered, .. }
            | Self::Unavailable { delivered, .. } => *delivered = earlier.max(*delivered),
        }
        self
    }

    /// Whether what was asked for happened at Discord.
    #[must_use]
    pub fn delivered(&self) -> Delivered {
        match self {
            Self::Build => Delivered::No,
            Self::BadAnswer { delivered, .. }
            | Self::Guarded { delivered, .. }
            | Self::RateLimited { delivered, .. }
            | Self::Refused { delivered, .. }
            | Self::TimedOut { delivered, .. }
            | Self::Unavailable { delivered, .. } => *delivered,
        }
    }

    /// What Discord said, if it was Discord that refused.
    #[must_use]
    pub fn said(&self) -> Option<&Said> {
        match self {
            Self::BadAnswer { .. } | Self::Build | Self::Guarded { .. } | Self::TimedOut { .. } => {
                None
            }
            Self::RateLimited { said, .. } | Self::Refused { said, .. } => Some(said),
            Self::Unavailable { said, .. } => said.as_ref(),
        }
    }
}
