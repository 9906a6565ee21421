//! A poll that a message asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twilight_model::{
    id::{Id, marker::EmojiMarker},
    poll::PollLayoutType,
};

use super::{Object, Snowflake};

/// A poll.
/// See <https://discord.com/developers/docs/resources/poll#poll-create-request-object>.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::operation) struct Poll {
    /// What is asked: a text of at most 300 characters.
    question: Object<PollMedia>,
    /// What can be answered: 1 to 10 answers, each at most 55 characters.
    answers: Vec<Object<Answer>>,
    /// How long it is open, in hours: 1 to 768, by default 24.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u16>,
    /// Whether several answers may be chosen.
    #[serde(default)]
    allow_multiselect: bool,
    /// How it looks: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u8>")]
    layout_type: Option<PollLayoutType>,
}

/// One answer of a poll.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// What it shows.
    poll_media: Object<PollMedia>,
}

/// A text, and in an answer an emoji.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PollMedia {
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The emoji.
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<Object<Emoji>>,
}

/// An emoji: a guild's own by id, any other by name.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Emoji {
    /// Id of a guild's own emoji.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Snowflake>")]
    id: Option<Id<EmojiMarker>>,
    /// The emoji itself, such as 👍.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Whether it moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    animated: Option<bool>,
}
