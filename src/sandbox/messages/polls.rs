//! Polls in messages.
//!
//! See <https://discord.com/developers/docs/resources/poll>.

use std::time::Duration;

use serde_json::{Value, json};
use twilight_model::id::Id;
use twilight_model::id::marker::{EmojiMarker, MessageMarker};

use super::super::error::FormErrors;
use super::super::form::Field;
use super::super::snowflake::timestamp_after;

/// Most answers of a poll.
const MAX_ANSWERS: usize = 10;
/// Longest question, in characters.
const MAX_QUESTION: usize = 300;
/// Longest answer, in characters.
const MAX_ANSWER: usize = 55;
/// Longest name of an emoji, in characters.
///
/// See <https://docs.discord.com/developers/resources/emoji>.
const MAX_EMOJI: usize = 32;
/// Longest time a poll is open, in hours: 32 days.
const MAX_HOURS: i64 = 768;
/// Time a poll is open when none is asked for, in hours.
const DEFAULT_HOURS: i64 = 24;

/// A poll as it was asked for.
pub(super) struct Poll {
    question: Value,
    answers: Vec<Value>,
    hours: i64,
    allow_multiselect: bool,
}

impl Poll {
    /// Reads the field `poll`.
    pub(super) fn read(field: &Field<'_>, errors: &mut FormErrors) -> Option<Self> {
        if !field.is_object(errors) {
            return None;
        }
        let question = read_media(&field.key("question"), MAX_QUESTION, errors);
        let answers = field.key("answers");
        answers.require(errors);
        let answers = answers.items(MAX_ANSWERS, errors);
        let answers = answers
            .iter()
            .map(|answer| read_media(&answer.key("poll_media"), MAX_ANSWER, errors))
            .collect();
        let hours = field.key("duration").integer(1..=MAX_HOURS, errors);
        let allow_multiselect = field.key("allow_multiselect").boolean(errors);
        Some(Self {
            question,
            answers,
            hours: hours.unwrap_or(DEFAULT_HOURS),
            allow_multiselect: allow_multiselect.unwrap_or(false),
        })
    }

    /// Writes the poll as it is once its message is posted.
    pub(super) fn opened(self, message: Id<MessageMarker>) -> Value {
        let hours = u64::try_from(self.hours).unwrap_or_default();
        let answers = self.answers.into_iter().zip(1..);
        let answers: Vec<Value> = answers
            .map(|(media, id)| json!({ "answer_id": id, "poll_media": media }))
            .collect();
        json!({
            "question": self.question,
            "answers": answers,
            "expiry": timestamp_after(message, Duration::from_secs(hours * 3600)),
            "allow_multiselect": self.allow_multiselect,
            "layout_type": 1,
            "results": { "is_finalized": false, "answer_counts": [] },
        })
    }
}

fn read_media(field: &Field<'_>, max: usize, errors: &mut FormErrors) -> Value {
    let text = field.key("text");
    text.require(errors);
    let mut media = json!({ "text": text.text(max, errors) });
    let emoji = field.key("emoji");
    if emoji.is_object(errors) {
        let id: Option<Id<EmojiMarker>> = emoji.key("id").snowflake(errors);
        let name = emoji.key("name").text(MAX_EMOJI, errors);
        media["emoji"] = json!({ "id": id, "name": name });
    }
    media
}
