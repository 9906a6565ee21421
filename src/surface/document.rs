//! A JSON-RPC document: one call or a batch of them, and the answer to it.
//!
//! The envelope is read here because jsonrpsee's ids are only texts, null and numbers of 64 bits,
//! while JSON-RPC takes any number: an id is kept as it was sent. Batches, notifications and every
//! error of <https://www.jsonrpc.org/specification> are decided here too.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, atomic::Ordering},
};

use futures_util::{StreamExt, stream};
use jsonrpsee::{
    ConnectionId, Extensions, MethodCallback, MethodResponse,
    types::{ErrorObject, Id, Params as RpcParams},
};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::{
    Caller, Rpc, admit,
    answer::{invalid, under, unknown_method, unreadable, with_id},
    registry::Asked,
    room::Room,
    rpc::error_object,
    seen::Seen,
};
use crate::{metrics::Refusal, operation::Error};

/// One call as it was sent. A member that is null is there; one that is missing is not.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// A call that may be carried out. Without an id it is a notification.
struct Request<'a> {
    id: Option<&'a str>,
    method: Cow<'a, str>,
    params: Option<&'a str>,
}

/// What is wrong with a document or a call, and the id to say it under.
struct Unsound<'a> {
    id: &'a str,
    error: ErrorObject<'static>,
    why: Refusal,
}

impl Rpc {
    /// Answers a document; nothing where nothing is to be answered.
    pub(super) async fn answer(
        &self,
        document: &[u8],
        caller: &Arc<Caller>,
        room: Room,
    ) -> Option<String> {
        let text = match std::str::from_utf8(document) {
            Ok(text) => text.trim_ascii(),
            Err(_) => return Some(self.refuse(Unsound::unreadable("it is not UTF-8"))),
        };
        if !text.starts_with('[') {
            return match room.full() {
                None => self.answer_one(text, caller).await,
                Some(limit) => self.refuse_one(text, caller, Error::Limited(limit)),
            };
        }
        let calls: Vec<&RawValue> = match serde_json::from_str(text) {
            Ok(calls) => calls,
            Err(err) => return Some(self.refuse(Unsound::unreadable(&place(&err)))),
        };
        let limit = self.shared.limits.batch;
        if calls.is_empty() {
            let unsound = Unsound::invalid("null", "a batch has at least one call");
            return Some(self.refuse(unsound));
        }
        if calls.len() > limit {
            let why = format!("a batch has at most {limit} calls, not {}", calls.len());
            return Some(self.refuse(Unsound {
                why: Refusal::Batch,
                ..Unsound::invalid("null", &why)
            }));
        }
        let room = Mutex::new(room);
        let answers = calls
            .iter()
            .map(|call| self.answer_of_batch(call.get(), caller, &room));
        let answers: Vec<_> = answers.collect();
        let answers: Vec<String> = stream::iter(answers)
            .buffered(self.shared.limits.calls_per_connection)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let bytes: usize = answers.iter().map(String::capacity).sum();
        caller.calls.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
    }

    /// Answers one call of a batch. Answers are held until the last is there, and those of all the
    /// connection's batches together have the room that unread answers have.
    async fn answer_of_batch(
        &self,
        text: &str,
        caller: &Arc<Caller>,
        room: &Mutex<Room>,
    ) -> Option<String> {
        let max_bytes = self.shared.limits.response_bytes.bytes();
        let full = Room::lock(room).full();
        let answer = if let Some(limit) = full {
            self.refuse_one(text, caller, Error::Limited(limit))
        } else if caller.calls.held_bytes.load(Ordering::Relaxed) >= max_bytes {
            self.refuse_one(text, caller, Error::Full { max_bytes })
        } else {
            self.answer_one(text, caller).await
        };
        let bytes = answer.as_ref().map_or(0, String::capacity);
        caller.calls.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        Room::lock(room).take(bytes);
        answer
    }

    /// Answers a call that there is no room for.
    fn refuse_one(&self, text: &str, caller: &Caller, error: Error) -> Option<String> {
        match Request::read(text) {
            Ok(request) => {
                let seen = Seen::begin(&self.shared, &request.method, Some(caller));
                let outcome = seen.end::<()>(Err(error));
                let error = outcome.err().map(|error| error_object(&error))?;
                request.id.map(|id| under(id, error))
            }
            Err(unsound) => Some(self.refuse(unsound)),
        }
    }

    /// Counts what is no call, and says what is wrong with it.
    fn refuse(&self, unsound: Unsound<'_>) -> String {
        self.metrics().refuse(unsound.why);
        under(unsound.id, unsound.error)
    }

    async fn answer_one(&self, text: &str, caller: &Arc<Caller>) -> Option<String> {
        let request = match Request::read(text) {
            Ok(request) => request,
            // Whoever knows a secret may show it at every door, also at one that has none.
            Err(_) if admit::shown(text.as_bytes()).is_some() => return None,
            Err(unsound) => return Some(self.refuse(unsound)),
        };
        let outcome = match caller.calls.places.acquire().await {
            Ok(_place) => self.call(&request, caller).await,
            Err(_) => return None,
        };
        request.id.map(|id| match outcome {
            Ok(response) => with_id(response, id),
            Err(error) => under(id, error),
        })
    }

    async fn call(
        &self,
        request: &Request<'_>,
        caller: &Arc<Caller>,
    ) -> Result<MethodResponse, ErrorObject<'static>> {
        let mut extensions = Extensions::new();
        extensions.insert(Asked {
            caller: Arc::clone(caller),
            reply: None,
        });
        let params = RpcParams::new(request.params);
        match self.methods.method(&request.method) {
            Some(MethodCallback::Async(callback)) => {
                let params = params.into_owned();
                let connection = ConnectionId::default();
                Ok(callback(Id::Null, params, connection, usize::MAX, extensions).await)
            }
            Some(MethodCallback::Sync(callback)) => {
                Ok(callback(Id::Null, params, usize::MAX, extensions))
            }
            Some(MethodCallback::Subscription(_) | MethodCallback::Unsubscription(_)) | None => {
                Seen::begin(&self.shared, &request.method, Some(caller)).end_unknown();
                Err(unknown_method(&request.method))
            }
        }
    }
}

impl<'a> Request<'a> {
    /// Reads one call, strictly: what is not a call of JSON-RPC 2.0 is refused.
    fn read(text: &'a str) -> Result<Self, Unsound<'a>> {
        // What serde reads from a list too is an object here.
        let read = if text.starts_with('[') {
            Err(de::Error::custom("a list"))
        } else {
            serde_json::from_str(text)
        };
        let envelope: Envelope<'a> = read.map_err(|err: serde_json::Error| {
            // What is no call is looked through to its end only here: it may be no JSON either. And a
            // number may be JSON that is too large for serde.
            let broken = if err.is_data() || !text.starts_with('{') {
                serde_json::from_str::<&RawValue>(text).err()
            } else {
                Some(err)
            };
            match broken {
                Some(err) => Unsound::unreadable(&place(&err)),
                None => Unsound::invalid("null", "a call is an object, and names each member once"),
            }
        })?;
        let id = envelope.id.map(RawValue::get);
        let known = id.filter(|id| is_id(id));
        let refuse = |why| Unsound::invalid(known.unwrap_or("null"), why);
        if id != known {
            return Err(refuse("id is a string, a number or null"));
        }
        if !matches!(text_of(envelope.jsonrpc), Some(version) if version == "2.0") {
            return Err(refuse("jsonrpc is \"2.0\""));
        }
        let Some(method) = text_of(envelope.method) else {
            return Err(refuse("method is a string"));
        };
        // Widely used clients send null where they have no params.
        let params = envelope.params.map(RawValue::get);
        let params = params.filter(|params| *params != "null");
        if params.is_some_and(|params| !params.starts_with(['{', '['])) {
            return Err(refuse("params is an object or an array"));
        }
        Ok(Self { id, method, params })
    }
}

impl<'a> Unsound<'a> {
    fn invalid(id: &'a str, why: &str) -> Self {
        Self {
            id,
            error: invalid(why),
            why: Refusal::InvalidRequest,
        }
    }

    fn unreadable(why: &str) -> Self {
        Self {
            id: "null",
            error: unreadable(why),
            why: Refusal::ParseError,
        }
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text that a member is, if it is one.
fn text_of(member: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let json = member?.get();
    // It is known to be JSON.
    let plain = json.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    if let Some(plain) = plain.filter(|plain| !plain.contains('\\')) {
        return Some(Cow::Borrowed(plain));
    }
    let Text(text) = serde_json::from_str(json).ok()?;
    Some(text)
}

fn present<'de: 'a, 'a, D>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error>
where
    D: Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn is_id(id: &str) -> bool {
    id == "null" || id.starts_with(|c: char| matches!(c, '"' | '-' | '0'..='9'))
}

/// Where JSON ends to be JSON; serde's sentence never holds what stands there.
fn place(err: &serde_json::Error) -> String {
    format!("not JSON at line {} column {}", err.line(), err.column())
}
