//! Calls of tools that are passed on to a running daemon, one by one.
//!
//! It must not call twice: what is known of the first call is told instead.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::value::{RawValue, to_raw_value};
use tokio_util::task::TaskTracker;

use super::{
    call::ErrorObject,
    client::{self, Address, Answer},
    params::{Params, new_nonce},
};
use crate::{
    discord::{InvalidToken, Token},
    operation::{Effect, Entry},
    surface::mcp::{Asked, Carried, Carry},
};

/// How long an answer is waited for; the daemon itself gives up far sooner.
const PATIENCE: Duration = Duration::from_secs(600);

/// The one bot's token, if there is one.
pub(super) struct Bot(pub(super) Option<String>);

/// Passes calls on to a daemon.
pub(super) struct PassOn {
    daemon: Arc<[Address]>,
    bot: Arc<Bot>,
    calls: TaskTracker,
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

impl PassOn {
    /// Passes calls on to `daemon`, those that change something on `calls`.
    pub(super) fn new(daemon: Address, bot: Bot, calls: TaskTracker) -> Self {
        Self {
            daemon: [daemon].into(),
            bot: Arc::new(bot),
            calls,
        }
    }
}

impl Carry for PassOn {
    fn carry(&self, asked: Asked) -> Carried {
        let Asked { entry, params, .. } = asked;
        let (daemon, bot) = (Arc::clone(&self.daemon), Arc::clone(&self.bot));
        let passed = async move { pass(&daemon, &bot, entry, &params).await };
        if entry.effect != Effect::Posts {
            return Box::pin(passed);
        }
        let spawned = self.calls.spawn(passed);
        Box::pin(async move { spawned.await.expect("nothing in it panics, or ends it") })
    }
}

async fn pass(
    daemon: &[Address],
    bot: &Bot,
    entry: &Entry,
    params: &str,
) -> Result<Box<RawValue>, Box<RawValue>> {
    let mut params =
        Params::read(entry.name, Some(params), &[]).expect("a tool's params are an object");
    params.put_token(bot.0.as_deref());
    // Made here and not by the daemon, so that it is known even if no answer comes.
    params.put_if_missing("nonce", || new_nonce(entry.name));
    match client::ask(daemon, entry.name, Some(&params.json()), PATIENCE).await {
        Ok(Answer::Result(reply)) => Ok(reply),
        Ok(Answer::Error(error)) => Err(error),
        Err(trouble) => {
            let error = ErrorObject::of(entry.name, &trouble, params.nonce());
            Err(to_raw_value(&error).expect("texts and numbers are JSON"))
        }
    }
}
