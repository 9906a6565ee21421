//! A message of the protocol as it comes, and the error where bytes are none.
//!
//! rmcp would leave some of them without an answer that a client can read.

use axum::http::HeaderMap;
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, GetMeta, JsonRpcError,
    ProtocolVersion, RequestId,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    json::{Json, has_reserved_name},
    operation::Error,
    surface::rpc::error_object,
};

/// The header that names the revision.
const VERSION: &str = "mcp-protocol-version";

/// Reads one message.
pub(super) fn read(text: &[u8]) -> Result<ClientJsonRpcMessage, JsonRpcError> {
    let Json(value) = serde_json::from_slice(text).map_err(|err| {
        let (line, column) = (err.line(), err.column());
        unreadable(&format!("not JSON at line {line} column {column}"))
    })?;
    if value.is_array() {
        return Err(invalid(None, "send each message by itself, not in a batch"));
    }
    let id = match value.get("id") {
        Some(id) => match RequestId::deserialize(id) {
            Ok(id) => Some(id),
            Err(_) => return Err(invalid(None, "id is a string or a whole number")),
        },
        None => None,
    };
    if has_reserved_name(&value) {
        return Err(invalid(id, "a name in it is reserved"));
    }
    // rmcp would take a cursor that is none for no cursor.
    let cursor = &value["params"]["cursor"];
    if value["method"] == "tools/list" && !cursor.is_null() && !cursor.is_string() {
        let error = ErrorData::invalid_params("cursor: expected a string", None);
        return Err(JsonRpcError::new(id, error));
    }
    ClientJsonRpcMessage::deserialize(value)
        .map_err(|_| invalid(id, "a message is a JSON-RPC 2.0 request or notification"))
}

/// Refuses a request whose header names a revision that nobody knows, and that says so nowhere else.
pub(super) fn refuse_version(
    headers: &HeaderMap,
    message: &ClientJsonRpcMessage,
) -> Result<(), JsonRpcError> {
    let ClientJsonRpcMessage::Request(request) = message else {
        return Ok(());
    };
    let named = headers.get(VERSION).and_then(|it| it.to_str().ok());
    let named = named.and_then(|it| ProtocolVersion::deserialize(Value::from(it)).ok());
    let Some(named) = named else {
        return Ok(());
    };
    let known = ProtocolVersion::KNOWN_VERSIONS;
    let said_elsewhere = matches!(request.request, ClientRequest::InitializeRequest(_))
        || request.request.get_meta().protocol_version().is_some();
    if said_elsewhere || known.contains(&named) {
        return Ok(());
    }
    let error = ErrorData::unsupported_protocol_version(named, known);
    Err(JsonRpcError::new(Some(request.id.clone()), error))
}

/// Bytes that are no JSON text. Its id is left out, where JSON-RPC has null: see
/// <https://modelcontextprotocol.io/specification/2026-07-28/basic#error-responses>.
pub(super) fn unreadable(why: &str) -> JsonRpcError {
    let error = ErrorData::parse_error(format!("Parse error: {why}"), None);
    JsonRpcError::new(None, error)
}

/// A request whose id is that of another which has no answer yet.
pub(super) fn under_way(id: RequestId) -> JsonRpcError {
    invalid(Some(id), "a request with this id is under way already")
}

/// A message that there was no room for, under the status that says so.
pub(super) fn limited(error: &Error) -> JsonRpcError {
    let object = error_object(error);
    let details = serde_json::to_value(error.details()).ok();
    let error = ErrorData::new(ErrorCode(object.code()), error.sentence(), details);
    JsonRpcError::new(None, error)
}

/// What is JSON and no message, or cannot be taken.
pub(super) fn invalid(id: Option<RequestId>, why: &str) -> JsonRpcError {
    let error = ErrorData::invalid_request(format!("Invalid request: {why}"), None);
    JsonRpcError::new(id, error)
}
