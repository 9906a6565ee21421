//! What a program is told of an error: facts by their names.

use std::time::Duration;

use serde::Serialize;

use super::Error;
use crate::{
    discord::{self, Delivered, FieldError, Guarded, Scope, Unreadable},
    metrics::{Outcome, Refusal},
};

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

impl Details {
    pub(super) fn of(error: &Error) -> Self {
        let mut details = Self {
            kind: Some(error.outcome()),
            delivered: Some(error.delivered()),
            ..Self::default()
        };
        match error {
            Error::Abandoned => details.retryable = true,
            Error::Full { .. } => {
                details.retryable = true;
                details.hint = Some("send it in a batch of its own");
            }
            Error::Limited(_) | Error::Stopping => {
                details.retryable = true;
                details.retry_after_ms = Some(BUSY_RETRY_MS);
            }
            Error::Denied(denied) => {
                details.denied = Some(denied.reason());
                details.hint = Some(denied.hint());
            }
            Error::Discord { error, nonce } => details.tell_discord(error, nonce.as_ref()),
            Error::Internal { .. } => {
                details.hint = Some("please report it with the daemon's log of this moment");
            }
            Error::InvalidToken(_) | Error::NoToken => {
                details.path = Some("discord_token".to_owned());
            }
            Error::NoChannel { guilds } => {
                details.guilds = Some(guilds.clone());
                details.hint = Some(if guilds.is_empty() {
                    "invite the bot to a guild: it is in none"
                } else {
                    "give the bot's role VIEW_CHANNEL and SEND_MESSAGES in a text channel, and see \
                     that it is not timed out"
                });
            }
            Error::NonceReused { message_id, nonce } => {
                details.message_id = Some(message_id.clone());
                details.nonce = Some(nonce.clone());
                details.hint = Some("give every message a nonce of its own");
            }
            Error::Param { path, .. } | Error::UnknownParam { path } => {
                details.path = Some(path.clone());
            }
        }
        details
    }

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
pub(in crate::operation) fn millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}
