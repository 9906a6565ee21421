//! What Discord's error codes mean for the caller: one row for each code that there is more to say
//! about than Discord says itself.
//! See <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.

use super::error::Said;

/// What a caller is told of one of Discord's codes.
struct Code {
    number: u64,
    sentence: &'static str,
    hint: &'static str,
    missing_permission: Option<&'static str>,
}

const CODES: &[Code] = &[
    Code {
        number: 10_003,
        sentence: "Unknown channel",
        hint: "check channel_id: the channel was deleted, or the id is not a channel's",
        missing_permission: None,
    },
    Code {
        number: 10_004,
        sentence: "Unknown guild",
        hint: "check guild_id, and that the bot is in that guild",
        missing_permission: None,
    },
    Code {
        number: 10_008,
        sentence: "Unknown message",
        hint: "check the message's id and its channel: it may have been deleted",
        missing_permission: None,
    },
    Code {
        number: 50_001,
        sentence: "Bot has no access to this channel or guild",
        hint: "invite the bot to the guild and let it view the channel",
        missing_permission: Some("VIEW_CHANNEL"),
    },
    Code {
        number: 50_006,
        sentence: "Discord takes this for an empty message",
        hint: "give content, embeds, sticker_ids, components or a poll",
        missing_permission: None,
    },
    Code {
        number: 50_007,
        sentence: "This user takes no messages from the bot",
        hint: "the user must share a guild with the bot and allow direct messages",
        missing_permission: None,
    },
    Code {
        number: 50_008,
        sentence: "No text can be sent in a channel of this kind",
        hint: "use a text channel, not a category",
        missing_permission: None,
    },
    Code {
        number: 50_013,
        sentence: "Bot doesn't have permission to send messages in this channel",
        hint: "give the bot's role SEND_MESSAGES (in threads SEND_MESSAGES_IN_THREADS) there",
        missing_permission: Some("SEND_MESSAGES"),
    },
    Code {
        number: 50_035,
        sentence: "Discord refused the body",
        hint: "mend the fields that data.errors names",
        missing_permission: None,
    },
    Code {
        number: 160_002,
        sentence: "Bot may not reply without reading the channel's history",
        hint: "give the bot's role READ_MESSAGE_HISTORY there",
        missing_permission: Some("READ_MESSAGE_HISTORY"),
    },
];

/// The sentence for what Discord refused.
pub(super) fn sentence(said: &Said) -> String {
    if said.status == 401 {
        return "Invalid Discord token".to_owned();
    }
    let words = match (row(said), &said.message) {
        (Some(row), _) => row.sentence.to_owned(),
        (None, Some(message)) => format!("Discord refused: {message}"),
        (None, None) => format!("Discord refused with status {}", said.status),
    };
    match said.fields.first() {
        None => words,
        Some(first) if first.path.is_empty() => format!("{words}: {}", first.message),
        Some(first) => format!("{words}: {}: {}", first.path, first.message),
    }
}

impl Said {
    /// What the caller can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if self.status == 401 {
            return Some("take the bot's current token from the developer portal");
        }
        row(self).map(|row| row.hint)
    }

    /// The permission that the bot lacks, where Discord's code tells.
    #[must_use]
    pub fn missing_permission(&self) -> Option<&'static str> {
        row(self).and_then(|row| row.missing_permission)
    }
}

fn row(said: &Said) -> Option<&'static Code> {
    CODES.iter().find(|row| Some(row.number) == said.code)
}
