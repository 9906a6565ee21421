//! The REST API of the service this replaces: its paths and its names, and statuses that tell the
//! truth.
//!
//! It offers what that service had and nothing more: further operations are for the other surfaces.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Caller, Rpc, rpc::Shared};
use crate::{
    discord::Delivered,
    operation::{Details, Entry, Error, Params, TABLE},
};

/// Where each operation is asked for.
pub(super) const PATHS: [(&str, &str); 3] = [
    ("/channels", "discord.listChannels"),
    ("/messages", "discord.sendMessage"),
    ("/test", "discord.test"),
];

/// Every failure, as the replaced service spelled its own: `success` and `error`.
#[derive(Serialize)]
struct Failure {
    success: bool,
    error: String,
    code: u16,
    data: Data,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    /// Of a call that failed.
    Call(Box<Details>),
    /// Of what is no call, and was not carried out.
    Mistake {
        kind: &'static str,
        retryable: bool,
        delivered: Delivered,
    },
}

/// The operation of this name.
///
/// # Panics
///
/// When the table has none.
pub(super) fn entry(name: &str) -> &'static Entry {
    let found = TABLE.iter().find(|entry| entry.name == name);
    found.expect("a test asks at every path")
}

/// Does what a body asks for, on behalf of `caller`.
pub(super) async fn answer(
    rpc: &Rpc,
    entry: &'static Entry,
    body: &[u8],
    caller: &Caller,
) -> Response {
    let body = body.trim_ascii();
    // Who brings the token in a header may have nothing more to say.
    let body = if body.is_empty() { b"{}" } else { body };
    let body = match serde_json::from_slice::<&RawValue>(body) {
        Ok(json) if json.get().starts_with('{') => json.get(),
        Ok(_) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return refuse(status, "the body is not a JSON object");
        }
        Err(err) => {
            let (line, column) = (err.line(), err.column());
            let why = format!("not JSON at line {line} column {column}");
            return refuse(StatusCode::BAD_REQUEST, &why);
        }
    };
    let begin = |shared: &Shared| shared.begin(entry, Params::parse(body, &[])?, Some(caller));
    let outcome = Arc::clone(&rpc.shared).carry_out(entry, Some(caller), begin);
    match outcome.await {
        Ok(reply) => json(StatusCode::OK, reply),
        Err(error) => failed(&error),
    }
}

/// Refuses a request that is no call.
pub(super) fn refuse(status: StatusCode, why: &str) -> Response {
    let data = Data::Mistake {
        kind: "invalid_request",
        retryable: false,
        delivered: Delivered::No,
    };
    spell(status, why.to_owned(), data)
}

/// Tells of a call that failed.
pub(super) fn failed(error: &Error) -> Response {
    let status = match error.status() {
        Some(status) => StatusCode::from_u16(status).ok(),
        None => error
            .is_mistake()
            .then_some(StatusCode::UNPROCESSABLE_ENTITY),
    };
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let details = error.details();
    let wait = details.retry_after_secs();
    let answer = spell(status, error.sentence(), Data::Call(Box::new(details)));
    told_to_wait(answer, wait)
}

/// Adds for how many seconds to wait, if that is known.
pub(super) fn told_to_wait(mut answer: Response, secs: Option<u64>) -> Response {
    if let Some(secs) = secs {
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    answer
}

fn spell(status: StatusCode, error: String, data: Data) -> Response {
    let failure = Failure {
        success: false,
        error,
        code: status.as_u16(),
        data,
    };
    let text = serde_json::to_string(&failure).expect("texts and numbers are JSON");
    json(status, text)
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
