//! Messages that point at another one: replies, and forwards with their snapshot.
//!
//! See <https://discord.com/developers/docs/resources/message#message-reference-types>.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker, MessageMarker};

use super::super::error::{Error, FormErrors};
use super::super::form::Field;
use super::super::token::Caller;
use super::super::users::User;
use super::super::world::{Place, World};
use super::Message;

/// The types of a reference.
const REPLY: u8 = 0;
const FORWARD: u8 = 1;

/// The message another one points at, as it is written.
#[derive(Clone, Serialize)]
pub(super) struct Reference {
    #[serde(rename = "type")]
    kind: u8,
    channel_id: Id<ChannelMarker>,
    pub(super) message_id: Id<MessageMarker>,
    guild_id: Id<GuildMarker>,
}

impl Reference {
    /// Tells whether it is that of a reply.
    pub(super) fn is_reply(&self) -> bool {
        self.kind == REPLY
    }
}

/// A reference as it is asked for.
pub(super) struct Asked {
    is_forward: bool,
    message_id: Id<MessageMarker>,
    channel_id: Option<Id<ChannelMarker>>,
    must_exist: bool,
}

impl Asked {
    /// Reads the field `message_reference`.
    pub(super) fn read(field: &Field<'_>, errors: &mut FormErrors) -> Option<Self> {
        if !field.is_object(errors) {
            return None;
        }
        field.key("message_id").require(errors);
        let message_id = field.key("message_id").snowflake(errors);
        let channel_id = field.key("channel_id").snowflake(errors);
        let kind = field.key("type").integer(0..=i64::MAX, errors);
        let kind = kind.unwrap_or(REPLY.into());
        if kind > FORWARD.into() {
            let message = "Value must be one of (0, 1).";
            let kind = field.key("type");
            kind.refuse("BASE_TYPE_CHOICES", message, errors);
        }
        let is_forward = kind == i64::from(FORWARD);
        if is_forward {
            field.key("channel_id").require(errors);
        }
        let must_exist = field.key("fail_if_not_exists").boolean(errors);
        Some(Self {
            is_forward,
            message_id: message_id?,
            channel_id,
            must_exist: must_exist.unwrap_or(true),
        })
    }

    /// Finds what is pointed at; nothing, if it need not exist and does not.
    ///
    /// # Errors
    ///
    /// When it must exist and does not, or the caller may not read it.
    pub(super) fn find(
        self,
        here: &Place<'_>,
        caller: &Caller,
        world: &World,
    ) -> Result<Option<Referred>, Error> {
        if self.is_forward {
            return self.find_forwarded(caller, world).map(Some);
        }
        let is_here = self.channel_id.is_none_or(|id| id == here.channel.id());
        if !here.permissions.contains(Permissions::READ_MESSAGE_HISTORY) {
            return Err(Error::NoHistoryToReply);
        }
        let history = here.channel.history();
        let found = history.find(self.message_id).filter(|_| is_here);
        match found {
            Some(message) => Ok(Some(Referred::Reply {
                reference: reference(REPLY, message, here),
                author: message.author.clone(),
            })),
            None if self.must_exist => Err(unknown()),
            None => Ok(None),
        }
    }

    fn find_forwarded(self, caller: &Caller, world: &World) -> Result<Referred, Error> {
        let channel_id = self.channel_id.ok_or_else(unknown)?;
        let there = world.place(caller, channel_id)?;
        if !there
            .permissions
            .contains(Permissions::READ_MESSAGE_HISTORY)
        {
            return Err(Error::NoHistoryToForward);
        }
        let history = there.channel.history();
        let message = history.find(self.message_id).ok_or_else(unknown)?;
        Ok(Referred::Forward {
            reference: reference(FORWARD, message, &there),
            snapshot: snapshot(message),
        })
    }
}

/// What a message points at.
pub(super) enum Referred {
    /// It shows it as it was then.
    Forward {
        reference: Reference,
        snapshot: Value,
    },
    /// It answers it.
    Reply { reference: Reference, author: User },
}

impl Referred {
    /// Gives the author who is answered.
    pub(super) fn author(&self) -> Option<User> {
        match self {
            Self::Forward { .. } => None,
            Self::Reply { author, .. } => Some(author.clone()),
        }
    }

    /// Gives what is kept of it in the message.
    pub(super) fn written(self) -> (Reference, Option<Value>) {
        match self {
            Self::Forward {
                reference,
                snapshot,
            } => (reference, Some(snapshot)),
            Self::Reply { reference, .. } => (reference, None),
        }
    }
}

fn reference(kind: u8, message: &Message, place: &Place<'_>) -> Reference {
    Reference {
        kind,
        channel_id: message.channel_id,
        message_id: message.id,
        guild_id: place.guild.id,
    }
}

/// Writes what of a message is forwarded: neither its author nor its id. A forward is passed on
/// as what it forwards.
fn snapshot(message: &Arc<Message>) -> Value {
    if let Some(snapshot) = message.snapshots.first() {
        return snapshot.clone();
    }
    json!({ "message": {
        "type": message.kind,
        "content": message.content,
        "embeds": message.embeds,
        "attachments": message.attachments,
        "timestamp": message.timestamp,
        "edited_timestamp": message.edited_timestamp,
        "flags": message.flags,
        "mentions": message.mentions,
        "mention_roles": message.mention_roles,
        "components": message.components,
        "sticker_items": message.sticker_items,
    } })
}

fn unknown() -> Error {
    let (code, message) = ("REPLIES_UNKNOWN_MESSAGE", "Unknown message");
    Error::InvalidForm(FormErrors::one("message_reference", code, message))
}
