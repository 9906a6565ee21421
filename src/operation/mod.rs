//! What can be asked: one file for each operation, and one row for each in [`TABLE`].
//!
//! An operation knows neither how it was called nor how its answer is spelled: no socket, no
//! header, no JSON-RPC code. Every surface walks the table.

mod body;
mod error;
mod guild;
mod health;
mod limit;
mod list_channels;
mod params;
mod rights;
mod send_message;
mod test_message;

use std::{future::Future, pin::Pin, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use twilight_model::id::{Id, marker::ChannelMarker};

pub use self::{
    error::{Details, Error},
    limit::Limit,
    params::Params,
    rights::{DISCOVER, Denied, Reach, Rights, Secret, User},
};
use crate::{
    discord::{self, Discord, Exit, Peer, Progress, Token},
    metrics::Metrics,
};

/// Room for a reply and what is put around it, in bytes: enough for every one that is no list.
pub const REPLY_BYTES: usize = 512;

/// Something that can be asked. Its type is its params; its docs are the manual on every surface.
pub trait Operation: DeserializeOwned + JsonSchema + Send + 'static {
    /// Its name, as callers write it.
    const NAME: &'static str;
    /// What it does to Discord.
    const EFFECT: Effect;
    /// Params that may also come by position, in this order, behind the token if it takes one.
    const POSITIONS: &'static [&'static str];
    /// What it is as a tool of an agent; none for what agents have no use for.
    const TOOL: Option<Tool>;
    /// What it answers.
    type Reply: Serialize + JsonSchema;

    /// Does it.
    fn call(self, call: &Call) -> impl Future<Output = Result<Self::Reply, Error>> + Send;
}

/// What an operation does to Discord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is answered from what the process knows, and takes no token.
    Local,
    /// It changes something, and is carried out to its end even if nobody waits for it.
    Posts,
    /// It only looks, and ends when nobody waits for it.
    Reads,
}

/// An operation as agents are offered it.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// Its name: letters, digits and `_`, at most 64.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
}

/// Every operation there is. The first tool among them does no harm when it is called without params.
pub const TABLE: &[Entry] = &[
    Entry::of::<health::Health>(),
    Entry::of::<list_channels::ListChannels>(),
    Entry::of::<send_message::SendMessage>(),
    Entry::of::<test_message::TestMessage>(),
];

/// An operation as the surfaces see it.
pub struct Entry {
    /// Its name, as callers write it.
    pub name: &'static str,
    /// What it does to Discord.
    pub effect: Effect,
    /// Params that may also come by position, behind the token if it takes one.
    pub positions: &'static [&'static str],
    /// What it is as a tool of an agent; none for what agents have no use for.
    pub tool: Option<Tool>,
    /// The JSON Schema of its params.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON Schema of its reply.
    pub reply: fn(&mut SchemaGenerator) -> Schema,
    read: Read,
}

/// An operation whose params have been read, on its way to its reply, a text of JSON.
pub type Job = Pin<Box<dyn Future<Output = Result<String, Error>> + Send>>;

type Read = fn(Params<'_>, Call) -> Result<Job, Error>;

impl Entry {
    const fn of<O: Operation>() -> Self {
        Self {
            name: O::NAME,
            effect: O::EFFECT,
            positions: O::POSITIONS,
            tool: O::TOOL,
            params: O::json_schema,
            reply: O::Reply::json_schema,
            read: read::<O>,
        }
    }

    /// Whether a call needs a token.
    #[must_use]
    pub fn takes_token(&self) -> bool {
        self.effect != Effect::Local
    }

    /// Reads the params; nothing is done until the job is awaited.
    ///
    /// # Errors
    ///
    /// When a param is missing, unknown or of another type.
    pub fn read(&self, params: Params<'_>, call: Call) -> Result<Job, Error> {
        (self.read)(params, call)
    }
}

fn read<O: Operation>(params: Params<'_>, call: Call) -> Result<Job, Error> {
    let operation: O = params.read()?;
    Ok(Box::pin(async move {
        let reply = operation.call(&call).await?;
        Ok(written(&reply))
    }))
}

/// Writes a reply, which has room enough to be written without being moved, unless it is a list.
fn written(reply: &impl Serialize) -> String {
    let mut text = Vec::with_capacity(REPLY_BYTES);
    serde_json::to_writer(&mut text, reply)
        .expect("a reply is a struct of texts, numbers and lists");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// What the process has, handed in once at start.
pub struct Hall {
    /// The way out to Discord.
    pub exit: Exit,
    /// What the process counts.
    pub metrics: Arc<Metrics>,
    /// What stands behind the exit: `discord`, `sandbox` or a host.
    pub upstream: String,
}

/// What a call has: its token, its time, and the process it runs in.
pub struct Call {
    /// The process.
    pub hall: Arc<Hall>,
    /// The bot that asks.
    pub token: Option<Token>,
    /// Who lets it ask.
    pub peer: Peer,
    /// What it may.
    pub rights: Arc<Rights>,
    /// When its time is over.
    pub deadline: Instant,
    /// Where it tells that it waits.
    pub progress: Progress,
}

impl Call {
    /// Refuses a channel that may not be reached, before anything is sent there. Where its guild
    /// decides, Discord is asked which that is.
    ///
    /// # Errors
    ///
    /// When it may not be reached, or Discord does not tell.
    async fn check_channel(&self, discord: &Discord, id: Id<ChannelMarker>) -> Result<(), Error> {
        let guild = match self.rights.reach(id) {
            Reach::Allowed => return Ok(()),
            Reach::ByGuild => guild::channel(discord, id).await?.guild_id,
            Reach::Denied => None,
        };
        Ok(self.rights.check_channel(id, guild)?)
    }

    /// Makes the client of this call.
    ///
    /// # Errors
    ///
    /// When the call brought no token.
    pub fn discord(&self) -> Result<Discord, Error> {
        let token = self.token.clone().ok_or(Error::NoToken)?;
        let (exit, progress) = (&self.hall.exit, self.progress.clone());
        let discord = discord::connect(exit, token, self.peer, self.deadline, progress);
        Ok(discord?)
    }
}
