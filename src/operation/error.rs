//! Why a call did not do what was asked: facts, a sentence, and whether the message was delivered.

use std::time::Duration;

use serde::Serialize;

use super::rights::Denied;
use crate::{
    discord::{self, Delivered, FieldError, Guarded, InvalidToken, Scope, Unreadable},
    metrics::{Outcome, Refusal},
};

/// Why a call failed: one variant for each thing that a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is gone, and the call only read.
    #[error("the caller is gone: this call was given up")]
    Abandoned,
    /// As many calls are under way as the settings allow.
    #[error("the daemon has {calls} calls under way, as many as it is set to take")]
    Busy {
        /// How many that is.
        calls: usize,
    },
    /// The caller may not, at this door.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Discord, or the way to it.
    #[error("{error}")]
    Discord {
        /// What went wrong there.
        error: Box<discord::Error>,
        /// The nonce that the message was sent with, if it was one.
        nonce: Option<String>,
    },
    /// The answers before it in the batch take all the room there is.
    #[error("the answers before it in the batch fill {max_bytes} bytes: this call was not begun")]
    Full {
        /// How much room there is.
        max_bytes: usize,
    },
    /// The operation ended in a bug of ours.
    #[error("the daemon has a bug: this call ended in a panic")]
    Internal {
        /// Whether it may have been carried out.
        delivered: Delivered,
    },
    /// The token is none that a bot could have.
    #[error("discord_token")]
    InvalidToken(#[from] InvalidToken),
    /// No channel was found that the bot may post in.
    #[error("there is no text channel that the bot may view and post in")]
    NoChannel {
        /// The guilds that were looked through.
        guilds: Vec<String>,
    },
    /// The call needs a token and brought none.
    #[error(
        "discord_token: the call needs a bot token, as this param or in the header \
         `Authorization: Bot <token>`"
    )]
    NoToken,
    /// The caller's nonce stands for another message.
    #[error("the nonce was used for another message, {message_id}")]
    NonceReused {
        /// The message it was used for.
        message_id: String,
        /// The nonce.
        nonce: String,
    },
    /// A param is not what it should be.
    #[error("{path}: expected {wanted}")]
    Param {
        /// Which one, dotted.
        path: String,
        /// What it should be.
        wanted: String,
    },
    /// The daemon is stopping, and the call was not begun.
    #[error("the daemon is stopping: this call was not begun")]
    Stopping,
    /// A param that no operation of this name has.
    #[error("{path}: there is no such param")]
    UnknownParam {
        /// Which one, dotted.
        path: String,
    },
}

/// What every surface tells of an error beside its code and its sentence.
#[derive(Default, Serialize)]
pub struct Details {
    kind: Option<Outcome>,
    retryable: bool,
    delivered: Option<Delivered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_code: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discord_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_permission: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guilds: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// How soon a call that found the daemon full or stopping may be tried again, in milliseconds.
const BUSY_RETRY_MS: u64 = 1000;

impl From<discord::Error> for Error {
    fn from(error: discord::Error) -> Self {
        Self::Discord {
            error: Box::new(error),
            nonce: None,
        }
    }
}

impl Error {
    /// Says what happened in one sentence, its causes joined by colons.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(err) = cause {
            sentence.push_str(": ");
            sentence.push_str(&err.to_string());
            cause = err.source();
        }
        sentence
    }

    /// Tells what a program can use: what kind of failure, what to do, and whether it was delivered.
    #[must_use]
    pub fn details(&self) -> Details {
        let mut details = Details {
            kind: Some(self.outcome()),
            delivered: Some(self.delivered()),
            ..Details::default()
        };
        match self {
            Self::Abandoned => details.retryable = true,
            Self::Full { .. } => {
                details.retryable = true;
                details.hint = Some("send it in a batch of its own");
            }
            Self::Busy { .. } | Self::Stopping => {
                details.retryable = true;
                details.retry_after_ms = Some(BUSY_RETRY_MS);
            }
            Self::Denied(denied) => {
                details.denied = Some(denied.reason());
                details.hint = Some(denied.hint());
            }
            Self::Discord { error, nonce } => details.tell_discord(error, nonce.as_ref()),
            Self::Internal { .. } => {
                details.hint = Some("please report it with the daemon's log of this moment");
            }
            Self::InvalidToken(_) | Self::NoToken => {
                details.path = Some("discord_token".to_owned());
            }
            Self::NoChannel { guilds } => {
                details.guilds = Some(guilds.clone());
                details.hint = Some(if guilds.is_empty() {
                    "invite the bot to a guild: it is in none"
                } else {
                    "give the bot's role VIEW_CHANNEL and SEND_MESSAGES in a text channel, and see \
                     that it is not timed out"
                });
            }
            Self::NonceReused { message_id, nonce } => {
                details.message_id = Some(message_id.clone());
                details.nonce = Some(nonce.clone());
                details.hint = Some("give every message a nonce of its own");
            }
            Self::Param { path, .. } | Self::UnknownParam { path } => {
                details.path = Some(path.clone());
            }
        }
        details
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Abandoned | Self::Busy { .. } | Self::Full { .. } | Self::Stopping => {
                Outcome::Unavailable
            }
            Self::Denied(_) => Outcome::Denied,
            Self::Discord { error, .. } => outcome_of(error),
            Self::Internal { .. } => Outcome::Internal,
            Self::InvalidToken(_)
            | Self::NoToken
            | Self::Param { .. }
            | Self::UnknownParam { .. } => Outcome::InvalidParams,
            Self::NoChannel { .. } => Outcome::NotFound,
            Self::NonceReused { .. } => Outcome::NonceReused,
        }
    }

    /// Whether what was asked for happened at Discord.
    #[must_use]
    pub fn delivered(&self) -> Delivered {
        match self {
            Self::Discord { error, .. } => error.delivered(),
            Self::Internal { delivered } => *delivered,
            Self::Abandoned
            | Self::Busy { .. }
            | Self::Denied(_)
            | Self::Full { .. }
            | Self::InvalidToken(_)
            | Self::NoChannel { .. }
            | Self::NoToken
            | Self::NonceReused { .. }
            | Self::Param { .. }
            | Self::Stopping
            | Self::UnknownParam { .. } => Delivered::No,
        }
    }

    /// Whether it is for whoever runs the daemon to look into: it is full or has a bug, or the far
    /// side is out of order.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        let far_side = |error: &discord::Error| {
            matches!(
                error,
                discord::Error::BadAnswer { .. }
                    | discord::Error::Build
                    | discord::Error::Unavailable { .. }
            )
        };
        match self {
            Self::Busy { .. } | Self::Internal { .. } => true,
            Self::Discord { error, .. } => far_side(error),
            Self::Abandoned
            | Self::Denied(_)
            | Self::Full { .. }
            | Self::InvalidToken(_)
            | Self::NoChannel { .. }
            | Self::NoToken
            | Self::NonceReused { .. }
            | Self::Param { .. }
            | Self::Stopping
            | Self::UnknownParam { .. } => false,
        }
    }

    /// Why the daemon turned the call away itself, if it did so before asking anything of Discord.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Busy { .. } => Some(Refusal::Busy),
            Self::Denied(denied) => Some(denied.reason()),
            Self::Full { .. } => Some(Refusal::BatchFull),
            Self::Stopping => Some(Refusal::Stopping),
            Self::Abandoned
            | Self::Discord { .. }
            | Self::Internal { .. }
            | Self::InvalidToken(_)
            | Self::NoChannel { .. }
            | Self::NoToken
            | Self::NonceReused { .. }
            | Self::Param { .. }
            | Self::UnknownParam { .. } => None,
        }
    }

    /// Whether it is the params that are wrong.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        self.outcome() == Outcome::InvalidParams
    }

    /// The HTTP status that says the same; none for a mistake in the call, or a bug.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Abandoned | Self::Busy { .. } | Self::Full { .. } | Self::Stopping => Some(503),
            Self::Denied(_) => Some(403),
            Self::Discord { error, .. } => status_of(error),
            Self::Internal { .. }
            | Self::InvalidToken(_)
            | Self::NoToken
            | Self::Param { .. }
            | Self::UnknownParam { .. } => None,
            Self::NoChannel { .. } => Some(404),
            Self::NonceReused { .. } => Some(409),
        }
    }
}

fn outcome_of(error: &discord::Error) -> Outcome {
    match error {
        discord::Error::BadAnswer { .. } => Outcome::BadAnswer,
        discord::Error::Build => Outcome::Internal,
        discord::Error::Guarded {
            why: Guarded::Token,
            ..
        } => Outcome::InvalidToken,
        discord::Error::Guarded { .. } | discord::Error::RateLimited { .. } => Outcome::RateLimited,
        discord::Error::Refused { said, .. } => match said.status {
            401 => Outcome::InvalidToken,
            403 => Outcome::Forbidden,
            404 => Outcome::NotFound,
            413 => Outcome::TooLarge,
            _ => Outcome::Rejected,
        },
        discord::Error::TimedOut { .. } => Outcome::TimedOut,
        discord::Error::Unavailable { .. } => Outcome::Unavailable,
    }
}

fn status_of(error: &discord::Error) -> Option<u16> {
    match error {
        discord::Error::BadAnswer { .. } => Some(502),
        discord::Error::Build => None,
        discord::Error::Guarded {
            why: Guarded::Token,
            ..
        } => Some(401),
        discord::Error::Guarded { .. } | discord::Error::RateLimited { .. } => Some(429),
        discord::Error::Refused { said, .. } => Some(match said.status {
            status @ (401 | 403 | 404 | 413) => status,
            _ => 400,
        }),
        discord::Error::TimedOut { .. } => Some(504),
        discord::Error::Unavailable { .. } => Some(503),
    }
}

impl Details {
    fn tell_discord(&mut self, error: &discord::Error, nonce: Option<&String>) {
        match error.delivered() {
            Delivered::No => {}
            Delivered::Unknown => {
                self.nonce = nonce.cloned();
                self.hint = Some("repeat the call with this nonce: it will not be posted twice");
            }
            Delivered::Yes => {
                self.nonce = nonce.cloned();
                self.hint = Some("it was done: a repeat with this nonce returns what was posted");
            }
        }
        if let Some(said) = error.said() {
            self.http_status = Some(said.status);
            self.discord_code = said.code.filter(|code| *code > 0);
            self.discord_message.clone_from(&said.message);
            self.errors.clone_from(&said.fields);
            self.missing_permission = said.missing_permission();
            // What to do about the refusal comes first: until then a repeat is refused too.
            self.hint = said.hint().or(self.hint);
        }
        match error {
            discord::Error::BadAnswer { why, status, .. } => {
                self.http_status = Some(*status);
                self.retryable = *why == Unreadable::Cut;
            }
            discord::Error::Build | discord::Error::Refused { .. } => {}
            discord::Error::Guarded {
                why, retry_after, ..
            } => self.tell_guarded(*why, *retry_after),
            discord::Error::RateLimited {
                scope, retry_after, ..
            } => {
                self.retryable = true;
                self.scope = Some(*scope);
                self.retry_after_ms = retry_after.map(millis);
            }
            discord::Error::TimedOut { .. } => self.retryable = true,
            discord::Error::Unavailable { retry_after, .. } => {
                self.retryable = true;
                self.retry_after_ms = retry_after.map(millis);
            }
        }
        self.retryable &= error.delivered() != Delivered::Yes;
    }

    fn tell_guarded(&mut self, why: Guarded, retry_after: Duration) {
        self.retryable = why != Guarded::Token;
        self.retry_after_ms = Some(millis(retry_after));
        self.scope = match why {
            Guarded::Banned => Some(Scope::Cloudflare),
            Guarded::Crowded | Guarded::Limit | Guarded::Share => Some(Scope::Guard),
            Guarded::Token => None,
        };
        self.hint = self.hint.or(match why {
            Guarded::Banned | Guarded::Crowded | Guarded::Limit => None,
            Guarded::Share => Some("stop what Discord answers with 401, 403 or 429: those count"),
            Guarded::Token => Some("take the bot's current token from the developer portal"),
        });
    }
}

impl Details {
    /// How long to wait before another try, in seconds, rounded up.
    #[must_use]
    pub fn retry_after_secs(&self) -> Option<u64> {
        self.retry_after_ms.map(|millis| millis.div_ceil(1000))
    }
}

/// A time in milliseconds, rounded up: whoever comes back then must not come too early.
pub(super) fn millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}
