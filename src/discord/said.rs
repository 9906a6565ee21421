//! Reads the body of an answer that is no success: Discord's message, code and field errors.
//!
//! It trusts nothing in it: the length is bounded, and what looks like a token is taken out.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    error::{FieldError, Said},
    token::Token,
};
use crate::json::Json;

/// Longest message of Discord's that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 300;
/// Most field errors that are passed on.
const MAX_FIELDS: usize = 50;
/// Deepest field that is looked into.
const MAX_DEPTH: usize = 16;
/// Shortest run of token characters that is taken for a secret, in bytes.
const SECRET_BYTES: usize = 50;

/// What stands in the place of a secret.
const WITHHELD: &str = "[withheld]";

/// Discord's error body.
/// See <https://discord.com/developers/docs/reference#error-messages>.
#[derive(Default, Deserialize)]
struct Body {
    code: Option<Json>,
    message: Option<String>,
    errors: Option<Json>,
}

impl Said {
    /// Reads the body that came with `status`; one that is not Discord's JSON says nothing. What looks
    /// like a secret is taken out, and `token` whatever it looks like.
    #[must_use]
    pub fn read(status: u16, body: &[u8], token: &Token) -> Self {
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let mut fields = Vec::new();
        if let Some(Json(Value::Object(tree))) = &body.errors {
            flatten(tree, token, &mut String::new(), 0, &mut fields);
        }
        Self {
            status,
            code: body.code.and_then(|Json(code)| code.as_u64()),
            message: body.message.map(|text| presentable(&text, token)),
            fields,
        }
    }
}

/// Walks Discord's tree, whose leaves are arrays named `_errors`.
fn flatten(
    tree: &Map<String, Value>,
    token: &Token,
    path: &mut String,
    depth: usize,
    out: &mut Vec<FieldError>,
) {
    for (name, value) in tree {
        match value {
            Value::Array(errors) if name == "_errors" => {
                let room = MAX_FIELDS.saturating_sub(out.len());
                let errors = errors.iter().take(room);
                out.extend(errors.map(|error| leaf(path, error, token)));
            }
            Value::Object(below) if depth < MAX_DEPTH => {
                let length = path.len();
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&presentable(name, token));
                flatten(below, token, path, depth + 1, out);
                path.truncate(length);
            }
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_)
            | Value::String(_) => {}
        }
    }
}

fn leaf(path: &str, error: &Value, token: &Token) -> FieldError {
    let text = |name: &str| {
        let text = error.get(name).and_then(Value::as_str).unwrap_or_default();
        presentable(text, token)
    };
    FieldError {
        // Its parts have no secret each, and may make one together.
        path: path.replace(token.expose(), WITHHELD),
        code: text("code"),
        message: text("message"),
    }
}

/// Shortens a text that came from outside and takes out the call's own token, whatever it looks
/// like, and what looks like one.
fn presentable(text: &str, token: &Token) -> String {
    let text = text.replace(token.expose(), WITHHELD);
    let mut shown = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let run = rest.find(|c| !of_a_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(run);
        if looks_secret(word) {
            shown.push_str(WITHHELD);
        } else {
            shown.push_str(word);
        }
        let between = after.find(of_a_token).unwrap_or(after.len());
        shown.extend(after[..between].chars().map(visible));
        rest = &after[between..];
    }
    match shown.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

fn of_a_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Three parts with dots between, as a bot's token has, or one long run.
fn looks_secret(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let like_a_token = parts.len() == 3 && parts[0].len() >= 16 && parts[2].len() >= 20;
    like_a_token || word.len() >= SECRET_BYTES
}

fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &[u8]) -> Said {
        Said::read(status, body, &Token::parse("sh/rt").unwrap())
    }

    fn presentable(text: &str) -> String {
        super::presentable(text, &Token::parse("sh/rt").unwrap())
    }

    #[test]
    fn the_calls_own_token_is_withheld_however_it_looks_and_is_written() {
        for written in ["sh/rt", r"sh\/rt", r"\u0073h/rt"] {
            let body = format!(
                r#"{{"code":1,"message":"what is {written} for?","errors":{{"{written}":{{"_errors":
                [{{"code":"{written}","message":"{written}"}}]}}}}}}"#
            );
            let said = read(400, body.as_bytes());
            assert_eq!(said.message.as_deref(), Some("what is [withheld] for?"));
            let field = &said.fields[0];
            let shown = [&field.path, &field.code, &field.message];
            assert_eq!(shown, ["[withheld]"; 3]);
        }
    }

    #[test]
    fn the_tree_of_field_errors_is_flattened() {
        let body = br#"{"code":50035,"message":"Invalid Form Body","errors":{"embeds":{"0":{"title":
            {"_errors":[{"code":"BASE_TYPE_MAX_LENGTH","message":"Must be 256 or fewer in length."}]}}}}}"#;
        let said = read(400, body);
        assert_eq!((said.status, said.code), (400, Some(50035)));
        assert_eq!(said.fields.len(), 1);
        assert_eq!(said.fields[0].path, "embeds.0.title");
        assert_eq!(said.fields[0].code, "BASE_TYPE_MAX_LENGTH");
    }

    #[test]
    fn a_token_is_withheld_in_a_path_over_which_it_is_spread() {
        let token = Token::parse("a.b/c").unwrap();
        let body = br#"{"errors":{"x":{"a":{"b/c":{"_errors":[{}]}}}}}"#;
        let said = Said::read(400, body, &token);
        assert_eq!(said.fields[0].path, "x.[withheld]");
    }

    #[test]
    fn a_body_that_is_not_json_says_nothing() {
        let said = read(502, b"<html>Bad Gateway</html>");
        assert_eq!((said.code, said.message), (None, None));
    }

    #[test]
    fn what_looks_like_a_token_is_withheld() {
        let token = format!("{}.{}.{}", "A".repeat(24), "b".repeat(6), "c".repeat(38));
        let shown = presentable(&format!("bad value \"{token}\" in field"));
        assert_eq!(shown, "bad value \"[withheld]\" in field");
        assert_eq!(presentable(&"x".repeat(60)), "[withheld]");
        assert_eq!(presentable("Missing Permissions"), "Missing Permissions");
    }

    #[test]
    fn a_long_message_is_shortened_and_control_characters_are_spaces() {
        let long = "a ".repeat(400);
        assert_eq!(presentable(&long).chars().count(), MAX_MESSAGE_CHARS + 1);
        assert_eq!(presentable("a\r\nb"), "a  b");
    }
}
