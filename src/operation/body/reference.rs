//! Whom a message mentions and what it refers to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twilight_model::{
    channel::message::{MentionType, MessageReferenceType},
    id::{
        Id,
        marker::{ChannelMarker, GuildMarker, MessageMarker, RoleMarker, UserMarker},
    },
};

use super::Snowflake;

/// Whom a message may ping. Without it nobody is.
/// See <https://discord.com/developers/docs/resources/message#allowed-mentions-object>.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::operation) struct AllowedMentions {
    /// Kinds of mentions that ping: everyone, roles, users.
    #[serde(default)]
    #[schemars(with = "Vec<Mention>")]
    parse: Vec<MentionType>,
    /// Roles that may be pinged, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Snowflake>")]
    roles: Vec<Id<RoleMarker>>,
    /// Users who may be pinged, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<Snowflake>")]
    users: Vec<Id<UserMarker>>,
    /// In a reply, whether its author is pinged.
    #[serde(default)]
    replied_user: bool,
}

/// A kind of mentions.
#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
#[expect(dead_code, reason = "it is read as twilight's type")]
enum Mention {
    Everyone,
    Roles,
    Users,
}

/// The message that a reply answers, or that is forwarded.
/// See <https://discord.com/developers/docs/resources/message#message-reference-structure>.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::operation) struct MessageReference {
    /// The message.
    #[schemars(with = "Snowflake")]
    message_id: Id<MessageMarker>,
    /// Its channel; needed to forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Snowflake>")]
    channel_id: Option<Id<ChannelMarker>>,
    /// Its guild.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Snowflake>")]
    guild_id: Option<Id<GuildMarker>>,
    /// 0 for a reply, 1 to forward.
    #[serde(default, rename = "type")]
    #[schemars(with = "u8")]
    kind: MessageReferenceType,
    /// Whether an unknown message is an error, which it is by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_if_not_exists: Option<bool>,
}

impl MessageReference {
    /// A reply to `message_id` in the same channel.
    pub(in crate::operation) fn reply(message_id: Id<MessageMarker>) -> Self {
        Self {
            message_id,
            channel_id: None,
            guild_id: None,
            kind: MessageReferenceType::Default,
            fail_if_not_exists: None,
        }
    }

    /// The channel and the guild that it names.
    pub(in crate::operation) fn place(
        &self,
    ) -> (Option<Id<ChannelMarker>>, Option<Id<GuildMarker>>) {
        (self.channel_id, self.guild_id)
    }

    /// Whether the message is forwarded, which needs no content.
    pub(in crate::operation) fn forwards(&self) -> bool {
        self.kind == MessageReferenceType::Forward
    }
}
