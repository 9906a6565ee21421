//! Who carries out what tools are called for: this process, or whoever it passes calls on to.

use std::{pin::Pin, sync::Arc};

use jsonrpsee::types::ErrorObject;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    discord::Progress,
    operation::{Effect, Entry, Error, Params},
    surface::{
        Caller, Rpc,
        admit::allow,
        onward::Onward,
        rpc::{Asker, Shared, error_object},
    },
};

/// Carries out what tools are called for.
pub trait Carry: Send + Sync + 'static {
    /// Begins a call. When this is dropped, one that only reads ends, and any other goes on.
    fn carry(&self, asked: Asked) -> Carried;
}

/// A call under way to its reply, or to its error object, either in JSON.
pub type Carried = Pin<Box<dyn Future<Output = Result<Box<RawValue>, Box<RawValue>>> + Send>>;

/// What a tool was called with.
pub struct Asked {
    /// The operation that it stands for.
    pub entry: &'static Entry,
    /// The params, a JSON object; the token is not among them.
    pub params: String,
    /// Who asks, if the request told.
    pub caller: Option<Caller>,
    /// Where the call tells that it waits.
    pub progress: Progress,
}

impl Carry for Rpc {
    fn carry(&self, asked: Asked) -> Carried {
        let changes = asked.entry.effect == Effect::Posts;
        let outcome = carry_out(Arc::clone(&self.shared), asked);
        if !changes {
            return Box::pin(outcome);
        }
        // It may be cancelled before anybody waits for it.
        Box::pin(Onward::new(outcome, self.shared.tracker.clone()))
    }
}

async fn carry_out(shared: Arc<Shared>, asked: Asked) -> Result<Box<RawValue>, Box<RawValue>> {
    let Asked {
        entry,
        params,
        caller,
        progress,
    } = asked;
    let caller = caller.as_ref();
    let begin = |shared: &Shared| {
        let rights = allow(caller, entry.name, entry.effect)?;
        let token = caller.and_then(|it| it.token.clone()).transpose()?;
        let who = Asker::new(caller, rights, token, progress);
        shared.begin_with(entry, Params::parse(&params, &[])?, who)
    };
    let outcome = shared.carry_out(entry, caller, begin).await;
    let reply = outcome.map_err(|error| spelled(&error))?;
    Ok(RawValue::from_string(reply).expect("a reply is JSON"))
}

/// What a param that a tool has not is answered with.
pub(super) fn no_such_param(name: &str) -> Box<RawValue> {
    let path = name.to_owned();
    spelled(&Error::UnknownParam { path })
}

/// Spells an error as JSON-RPC does, but for a token that a tool has no param for.
fn spelled(error: &Error) -> Box<RawValue> {
    let mut object = error_object(error);
    if matches!(error, Error::NoToken) {
        let why = "the call needs a bot token: in the header `Authorization: Bot <token>`, or where \
                   `discordd mcp` was told to take it from";
        object = ErrorObject::owned(object.code(), why, object.data());
    }
    to_raw_value(&object).expect("texts and numbers are JSON")
}
