//! What the headers of a request over HTTP say.

use axum::http::{HeaderMap, header};

use crate::discord::{InvalidToken, Token};

/// What a stream of events is called.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// Whether a body is said to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Whether the client speaks MCP: clients of MCP must take a stream of events, those of JSON-RPC
/// have no use for one.
pub(super) fn takes_event_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|it| it.to_str().ok());
    let mut kinds = accepted.flat_map(|it| it.split([',', ';']));
    kinds.any(|it| it.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// The token in the `Authorization` header, if there is one.
pub(super) fn token(headers: &HeaderMap) -> Option<Result<Token, InvalidToken>> {
    let header = headers.get(header::AUTHORIZATION)?;
    Some(Token::from_header(header.as_bytes()))
}
