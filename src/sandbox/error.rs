//! Discord's refusals: status, code, sentence, and the tree of a form's errors.
//!
//! It decides nothing: the resources say what is wrong, this spells it as Discord does.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Everything the sandbox refuses with.
///
/// The codes and sentences are those of
/// <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.
#[derive(Debug)]
pub(super) enum Error {
    /// The body is longer than the sandbox reads.
    BodyTooLarge,
    /// A message with nothing in it.
    EmptyMessage,
    /// A form, a query or a path with bad values, each at its place in the tree.
    InvalidForm(FormErrors),
    /// The body is not JSON.
    InvalidJson,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The bot may not see this.
    MissingAccess,
    /// The bot sees this, but may not do that with it.
    MissingPermissions,
    /// The message to forward may not be read.
    NoHistoryToForward,
    /// The message to answer may not be read.
    NoHistoryToReply,
    /// No such path.
    NotFound,
    /// A channel of a kind that no message is posted into.
    NotText,
    /// A channel of a kind that has no messages.
    NotTextToRead,
    /// The token is missing or unknown.
    Unauthorized,
    /// No such channel.
    UnknownChannel,
    /// No such guild.
    UnknownGuild,
    /// The user is no member of this guild.
    UnknownMember,
    /// No such message in this channel.
    UnknownMessage,
    /// No such user.
    UnknownUser,
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::EmptyMessage
            | Self::InvalidForm(_)
            | Self::InvalidJson
            | Self::NotText
            | Self::NotTextToRead => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MissingAccess
            | Self::MissingPermissions
            | Self::NoHistoryToForward
            | Self::NoHistoryToReply => StatusCode::FORBIDDEN,
            Self::NotFound
            | Self::UnknownChannel
            | Self::UnknownGuild
            | Self::UnknownMember
            | Self::UnknownMessage
            | Self::UnknownUser => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
        }
    }

    /// Gives Discord's code and Discord's sentence.
    fn said(&self) -> (u32, &'static str) {
        match self {
            Self::BodyTooLarge => (40_005, "Request entity too large"),
            Self::EmptyMessage => (50_006, "Cannot send an empty message"),
            Self::InvalidForm(_) => (50_035, "Invalid Form Body"),
            Self::InvalidJson => (50_109, "The request body contains invalid JSON."),
            Self::MethodNotAllowed => (0, "405: Method Not Allowed"),
            Self::MissingAccess => (50_001, "Missing Access"),
            Self::MissingPermissions => (50_013, "Missing Permissions"),
            Self::NotFound => (0, "404: Not Found"),
            Self::NoHistoryToForward => (
                160_009,
                "Cannot reference a message without permission to read message history",
            ),
            Self::NoHistoryToReply => (
                160_002,
                "Cannot reply without permission to read message history",
            ),
            Self::NotText => (50_008, "Cannot send messages in a non-text channel"),
            Self::NotTextToRead => (50_024, "Cannot execute action on this channel type"),
            Self::Unauthorized => (0, "401: Unauthorized"),
            Self::UnknownChannel => (10_003, "Unknown Channel"),
            Self::UnknownGuild => (10_004, "Unknown Guild"),
            Self::UnknownMember => (10_007, "Unknown Member"),
            Self::UnknownMessage => (10_008, "Unknown Message"),
            Self::UnknownUser => (10_013, "Unknown User"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            message: &'static str,
            code: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            errors: Option<FormErrors>,
        }

        let (status, (code, message)) = (self.status(), self.said());
        let errors = if let Self::InvalidForm(errors) = self {
            Some(errors)
        } else {
            None
        };
        let body = Body {
            message,
            code,
            errors,
        };
        (status, Json(body)).into_response()
    }
}

/// The tree of a form's errors, as Discord nests it: the steps of the path to a field are the
/// keys, an array's index is a key like any other, and the list is under `_errors`.
///
/// See <https://discord.com/developers/docs/reference#error-messages>.
#[derive(Debug, Default, Serialize)]
pub(super) struct FormErrors(Map<String, Value>);

impl FormErrors {
    /// Gives the tree with one error.
    pub(super) fn one(path: &str, code: &str, message: &str) -> Self {
        let mut errors = Self::default();
        errors.add(path, code, message);
        errors
    }

    /// Adds an error at a path such as `embeds.0.title`; the empty path is the form itself.
    pub(super) fn add(&mut self, path: &str, code: &str, message: &str) {
        let mut node = &mut self.0;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            node = node
                .entry(step)
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut()
                .expect("every step but `_errors` holds an object, and no field has that name");
        }
        let list = node
            .entry("_errors")
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(json!({ "code": code, "message": message }));
        }
    }

    /// Ends the reading of a form.
    ///
    /// # Errors
    ///
    /// When an error was added.
    pub(super) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::InvalidForm(self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_is_keyed_by_index() {
        let mut errors = FormErrors::default();
        errors.add("embeds.0.title", "A", "a");
        errors.add("embeds.0.title", "B", "b");
        errors.add("", "C", "c");
        let expected = json!({
            "_errors": [{ "code": "C", "message": "c" }],
            "embeds": { "0": { "title": { "_errors": [
                { "code": "A", "message": "a" },
                { "code": "B", "message": "b" },
            ] } } },
        });
        assert_eq!(serde_json::to_value(&errors).unwrap(), expected);
    }
}
