//! JSON-RPC 2.0 as its specification has it, written a second time: what a document must be answered
//! with, and whether an answer is one.

use std::fmt;

use discordd::operation::TABLE;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::indoors::{MAX_BATCH, MAX_DEPTH};

/// What an answer must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) id: &'a str,
    /// The codes that it may have; an empty list for any outcome.
    codes: &'static [i64],
}

/// What a document must be answered with.
#[derive(Debug)]
pub(crate) enum Answers<'a> {
    Batch(Vec<Expected<'a>>),
    None,
    One(Expected<'a>),
}

const PARSE_ERROR: &[i64] = &[-32700];
const INVALID_REQUEST: &[i64] = &[-32600];
const UNKNOWN_METHOD: &[i64] = &[-32601];
/// Of a text that JSON's grammar takes, but which has an escape of half a character where a name is.
const UNREADABLE: &[i64] = &[-32700, -32600];

/// Kinds of failure that a caller may be told; `internal`, which is a bug, is none.
const KINDS: [&str; 15] = [
    "bad_answer",
    "denied",
    "forbidden",
    "invalid_params",
    "invalid_request",
    "invalid_token",
    "method_not_found",
    "nonce_reused",
    "not_found",
    "parse_error",
    "rate_limited",
    "rejected",
    "timed_out",
    "too_large",
    "unavailable",
];
/// Longest wait that a caller may be asked for, in milliseconds: seven days.
const MAX_WAIT_MS: u64 = 7 * 86_400_000;

/// The members of an object as they were sent, even those that come twice.
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

/// Tells what a document must be answered with.
pub(crate) fn expected(document: &[u8]) -> Answers<'_> {
    let null = |codes| Answers::One(Expected { id: "null", codes });
    let Ok(text) = std::str::from_utf8(document) else {
        return null(PARSE_ERROR);
    };
    let text = text.trim_ascii();
    if depth(text) > MAX_DEPTH {
        return null(PARSE_ERROR);
    }
    if !text.starts_with('[') {
        return of_call(text).map_or(Answers::None, Answers::One);
    }
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Err(_) => null(PARSE_ERROR),
        Ok(calls) if calls.is_empty() || calls.len() > MAX_BATCH => null(INVALID_REQUEST),
        Ok(calls) => {
            let answers = calls.into_iter().filter_map(|call| of_call(call.get()));
            let answers: Vec<_> = answers.collect();
            if answers.is_empty() {
                Answers::None
            } else {
                Answers::Batch(answers)
            }
        }
    }
}

/// How deep a text is nested, where brackets are JSON's.
pub(crate) fn depth(text: &str) -> usize {
    let (mut now, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => now += 1,
            b'}' | b']' if !in_string => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

fn of_call(text: &str) -> Option<Expected<'_>> {
    let null = |codes| Some(Expected { id: "null", codes });
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return null(PARSE_ERROR);
    }
    if !text.starts_with('{') {
        return null(INVALID_REQUEST);
    }
    let Ok(members) = serde_json::from_str::<Members<'_>>(text) else {
        return null(UNREADABLE);
    };
    let known = ["jsonrpc", "id", "method", "params"];
    if known.iter().any(|name| members.count(name) > 1) {
        return null(INVALID_REQUEST);
    }
    let id = members.get("id");
    if id.is_some_and(|id| id != "null" && id.starts_with(['t', 'f', 'n', '{', '['])) {
        return null(INVALID_REQUEST);
    }
    let invalid = Some(Expected {
        id: id.unwrap_or("null"),
        codes: INVALID_REQUEST,
    });
    if members.string("jsonrpc").as_deref() != Some("2.0") {
        return invalid;
    }
    let Some(method) = members.string("method") else {
        return invalid;
    };
    let params = members.get("params").unwrap_or("null");
    if params != "null" && !params.starts_with(['{', '[']) {
        return invalid;
    }
    let is_known = method == "rpc.discover" || TABLE.iter().any(|entry| entry.name == method);
    Some(Expected {
        id: id?,
        codes: if is_known { &[] } else { UNKNOWN_METHOD },
    })
}

/// Holds that an answer is the one expected.
pub(crate) fn check(answer: &str, expected: &Expected<'_>) {
    let members: Members<'_> = serde_json::from_str(answer).expect("an answer is an object");
    assert_eq!(members.get("jsonrpc"), Some("\"2.0\""), "{answer}");
    assert_eq!(members.get("id"), Some(expected.id), "{answer}");
    assert_eq!(members.0.len(), 3, "{answer}");
    match (members.get("result"), members.get("error")) {
        (Some(_), None) => assert!(expected.codes.is_empty(), "{answer} for {expected:?}"),
        (None, Some(error)) => {
            let code = check_error(error);
            let codes = expected.codes;
            assert!(
                codes.is_empty() || codes.contains(&code),
                "{answer} for {expected:?}"
            );
        }
        _ => panic!("{answer} has neither or both"),
    }
}

/// Holds that an error says what every error must, and gives its code.
pub(crate) fn check_error(error: &str) -> i64 {
    let error: Value = serde_json::from_str(error).expect("an error is JSON");
    let data = &error["data"];
    check_details(data);
    assert!(
        error["message"].as_str().is_some_and(|it| !it.is_empty()),
        "{error}"
    );
    error["code"].as_i64().expect("a code is a number")
}

/// Holds that the details of an error say what they must.
pub(crate) fn check_details(data: &Value) {
    let kind = data["kind"].as_str().unwrap_or_default();
    assert!(!kind.is_empty() && KINDS.contains(&kind), "{data}");
    assert!(data["retryable"].is_boolean(), "{data}");
    let delivered = data["delivered"].as_str().unwrap_or_default();
    assert!(["no", "unknown", "yes"].contains(&delivered), "{data}");
    let wait = &data["retry_after_ms"];
    assert!(
        wait.is_null() || wait.as_u64().is_some_and(|it| it <= MAX_WAIT_MS),
        "{data}"
    );
}

impl<'a> Members<'a> {
    /// The text of the member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.get())
    }

    fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(given, _)| given == name).count()
    }

    fn string(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
