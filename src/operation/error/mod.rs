//! Why a call did not do what was asked: facts, a sentence, and whether the message was delivered.

mod details;

pub use self::details::Details;
pub(super) use self::details::millis;
use super::{limit::Limit, rights::Denied};
use crate::{
    discord::{self, Delivered, Guarded, InvalidToken},
    metrics::{Outcome, Refusal},
};

/// Why a call failed: one variant for each thing that a caller can do differently.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is gone, and the call only read.
    #[error("the caller is gone: this call was given up")]
    Abandoned,
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
    /// A limit is reached that holds back everybody, or the peer.
    #[error("{0}")]
    Limited(Limit),
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
        Details::of(self)
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Abandoned | Self::Full { .. } | Self::Limited(_) | Self::Stopping => {
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
            | Self::Denied(_)
            | Self::Full { .. }
            | Self::InvalidToken(_)
            | Self::Limited(_)
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
            Self::Internal { .. } | Self::Limited(Limit::Calls { .. }) => true,
            Self::Discord { error, .. } => far_side(error),
            Self::Abandoned
            | Self::Denied(_)
            | Self::Full { .. }
            | Self::InvalidToken(_)
            | Self::Limited(_)
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
            Self::Denied(denied) => Some(denied.reason()),
            Self::Full { .. } => Some(Refusal::BatchFull),
            Self::Limited(limit) => Some(limit.refusal()),
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
            Self::Abandoned | Self::Full { .. } | Self::Limited(_) | Self::Stopping => Some(503),
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
