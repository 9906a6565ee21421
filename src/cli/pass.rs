//! Calls of tools that are passed on to a running daemon, one by one.
//!
//! It must not call twice: what is known of the first call is told instead.

use std::{fmt, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    call::ErrorObject,
    client::{self, Answer, Daemon, Trouble},
    params::{Params, new_nonce},
};
use crate::{
    discord::{InvalidToken, Token},
    operation::{Effect, Entry},
    surface::mcp::{Asked, Carried, Carry},
};

/// How long an answer may take beyond the time that the daemon gives the call.
const MARGIN: Duration = Duration::from_secs(5);
/// What to do where there is no daemon.
const HINT: &str = "start the daemon with discordd serve, or correct what --connect of discordd mcp \
                    says of where it is";

/// The one bot's token, if there is one.
pub(super) struct Bot(pub(super) Option<String>);

/// Passes calls on to a daemon.
#[derive(Clone)]
pub(super) struct PassOn {
    pub(super) daemon: Arc<[Daemon]>,
    pub(super) bot: Arc<Bot>,
    /// Where those run that change something.
    pub(super) calls: TaskTracker,
    /// The daemon's time for a call that says nothing of it, as far as is known here.
    pub(super) call_timeout: Duration,
    /// Cancelled when no answer is waited for any longer.
    pub(super) cut: CancellationToken,
}

/// The time that a call gives itself, among its params.
#[derive(Deserialize)]
struct Timeout {
    timeout_ms: Option<u64>,
}

impl Bot {
    /// The token as a call wants it.
    pub(super) fn token(&self) -> Option<Result<Token, InvalidToken>> {
        self.0.as_deref().map(Token::parse)
    }
}

impl fmt::Debug for Bot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bot")
    }
}

impl Carry for PassOn {
    fn carry(&self, asked: Asked) -> Carried {
        let Asked { entry, params, .. } = asked;
        let here = self.clone();
        let passed = async move { here.pass(entry, &params).await };
        if entry.effect != Effect::Posts {
            return Box::pin(passed);
        }
        let spawned = self.calls.spawn(passed);
        Box::pin(async move { spawned.await.expect("nothing in it panics, or ends it") })
    }
}

impl PassOn {
    async fn pass(&self, entry: &Entry, params: &str) -> Result<Box<RawValue>, Box<RawValue>> {
        let patience = self.patience(params);
        let mut params =
            Params::read(entry.name, Some(params), &[]).expect("a tool's params are an object");
        params.put_token(self.bot.0.as_deref());
        // Made here and not by the daemon, so that it is known even if no answer comes.
        params.put_if_missing("nonce", || new_nonce(entry.name));
        let (json, begun) = (params.json(), Instant::now());
        let answer = tokio::select! {
            answer = client::ask(&self.daemon, entry.name, Some(&json), patience) => answer,
            () = self.cut.cancelled() => Err(Trouble::TimedOut {
                address: self.daemon[0].address.clone(),
                waited: Duration::from_secs(begun.elapsed().as_secs()),
            }),
        };
        match answer {
            Ok(Answer::Result(reply)) => Ok(reply),
            Ok(Answer::Error(error)) => Err(error),
            Err(trouble) => {
                let error = ErrorObject::of(entry.name, &trouble, params.nonce(), HINT);
                Err(to_raw_value(&error).expect("texts and numbers are JSON"))
            }
        }
    }

    /// How long an answer is waited for. Of a time that the daemon refuses it says so at once.
    fn patience(&self, params: &str) -> Duration {
        let read = serde_json::from_str::<Timeout>(params).ok();
        let asked = read.and_then(|it| it.timeout_ms).map(Duration::from_millis);
        asked.unwrap_or(self.call_timeout).min(client::MAX_TIMEOUT) + MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_a_little_longer_than_the_call_may_take() {
        let carrier = PassOn {
            daemon: [].into(),
            bot: Arc::new(Bot(None)),
            calls: TaskTracker::new(),
            call_timeout: Duration::from_secs(30),
            cut: CancellationToken::new(),
        };
        let most = client::MAX_TIMEOUT.as_millis();
        for (params, millis) in [
            ("{}", 30_000),
            (r#"{"timeout_ms":null}"#, 30_000),
            (r#"{"timeout_ms":250}"#, 250),
            (r#"{"timeout_ms":"250"}"#, 30_000),
            (r#"{"timeout_ms":18446744073709551615}"#, most),
        ] {
            let patience = carrier.patience(params).as_millis();
            assert_eq!(patience, millis + MARGIN.as_millis(), "{params}");
        }
    }
}
