//! The answers of JSON-RPC, as they are written: under the caller's own id, whatever that is.

use jsonrpsee::{
    MethodResponse,
    types::{
        ErrorObject, Id,
        error::{INVALID_REQUEST_CODE, METHOD_NOT_FOUND_CODE, PARSE_ERROR_CODE},
    },
};
use serde::Serialize;

use super::{registry::Asked, rpc::error_object};
use crate::{
    discord::Delivered,
    operation::{Error, REPLY_BYTES},
};

/// How every answer begins; jsonrpsee was given a null id, and the caller's takes its place.
const HEAD: &str = r#"{"jsonrpc":"2.0","id":null,"#;
/// Longest method name that is repeated in an error, in bytes: shorter than a token, which might stand
/// where the name should.
const MAX_METHOD_BYTES: usize = 40;

/// Puts the reply, or else jsonrpsee's answer, behind the caller's id.
pub(super) fn with_id(mut response: MethodResponse, id: &str) -> String {
    let begin = r#"{"jsonrpc":"2.0","id":"#;
    let asked = response.extensions_mut().get_mut::<Asked>();
    if let Some(mut answer) = asked.and_then(|asked| asked.reply.take()) {
        let result = r#","result":"#;
        let bytes = begin.len() + id.len() + result.len() + answer.len() + 1;
        // Nearly every reply was written with room for this; a long one is to hold no more than it is.
        if bytes > answer.capacity() || answer.capacity() > REPLY_BYTES {
            return [begin, id, result, &answer, "}"].concat();
        }
        for part in [result, id, begin] {
            answer.insert_str(0, part);
        }
        answer.push('}');
        return answer;
    }
    let json = response.into_json();
    let rest = json.get().strip_prefix(HEAD);
    let rest = rest.expect("a test holds how an answer begins");
    [begin, id, ",", rest].concat()
}

/// Puts an error behind the caller's id.
pub(super) fn under(id: &str, error: ErrorObject<'static>) -> String {
    with_id(MethodResponse::error(Id::Null, error), id)
}

/// Answers what is not taken at all.
pub(super) fn error(error: &Error) -> String {
    under("null", error_object(error))
}

/// Answers bytes that are no JSON text, and why.
pub(super) fn parse_error(why: &str) -> String {
    under("null", unreadable(why))
}

/// Answers what is JSON and no call.
pub(super) fn invalid_request(id: &str, why: &str) -> String {
    under(id, invalid(why))
}

pub(super) fn unreadable(why: &str) -> ErrorObject<'static> {
    let message = format!("Parse error: {why}");
    mistake(PARSE_ERROR_CODE, "parse_error", message)
}

pub(super) fn invalid(why: &str) -> ErrorObject<'static> {
    let message = format!("Invalid request: {why}");
    mistake(INVALID_REQUEST_CODE, "invalid_request", message)
}

pub(super) fn unknown_method(name: &str) -> ErrorObject<'static> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/');
    let message = if name.len() <= MAX_METHOD_BYTES && name.chars().all(plain) {
        format!("Method not found: {name}")
    } else {
        "Method not found".to_owned()
    };
    mistake(METHOD_NOT_FOUND_CODE, "method_not_found", message)
}

/// A mistake of the caller's in the protocol itself: nothing was carried out.
fn mistake(code: i32, kind: &'static str, message: String) -> ErrorObject<'static> {
    #[derive(Serialize)]
    struct Data {
        kind: &'static str,
        retryable: bool,
        delivered: Delivered,
    }
    let data = Data {
        kind,
        retryable: false,
        delivered: Delivered::No,
    };
    ErrorObject::owned(code, message, Some(data))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jsonrpsee::Extensions;

    use super::*;
    use crate::{
        metrics::Framing,
        surface::{Caller, Visitor},
    };

    fn replied(reply: String) -> MethodResponse {
        let mut extensions = Extensions::new();
        extensions.insert(Asked {
            caller: Arc::new(Caller::new(Visitor::own(), Framing::None, 1, None)),
            reply: Some(reply),
        });
        MethodResponse::notification().with_extensions(extensions)
    }

    #[test]
    fn the_callers_id_takes_the_place_of_ours() {
        let expected = r#"{"jsonrpc":"2.0","id":-1.5e3,"result":"reply"}"#;
        for (room, held) in [
            (REPLY_BYTES, REPLY_BYTES),
            (0, expected.len()),
            (4000, expected.len()),
        ] {
            let mut reply = String::with_capacity(room);
            reply.push_str("\"reply\"");
            let answer = with_id(replied(reply), "-1.5e3");
            assert_eq!((answer.as_str(), answer.capacity()), (expected, held));
        }
        let error = MethodResponse::error(Id::Null, invalid("why"));
        let expected = concat!(
            r#"{"jsonrpc":"2.0","id":"x","error":{"code":-32600,"#,
            r#""message":"Invalid request: why","#,
            r#""data":{"kind":"invalid_request","retryable":false,"delivered":"no"}}}"#
        );
        assert_eq!(with_id(error, r#""x""#), expected);
    }

    #[test]
    fn a_token_in_the_place_of_the_method_is_not_repeated() {
        let shortest = format!("{}.{}.{}", "A".repeat(24), "b".repeat(6), "c".repeat(27));
        for (name, expected) in [
            ("discord.nope", "Method not found: discord.nope"),
            (&shortest, "Method not found"),
            ("a b", "Method not found"),
        ] {
            assert_eq!(unknown_method(name).message(), expected);
        }
    }
}
