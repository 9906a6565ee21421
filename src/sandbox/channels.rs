//! Channels of a guild, of every kind, and how each is written.
//!
//! It must not decide who may see one. See
//! <https://discord.com/developers/docs/resources/channel>.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use twilight_model::id::Id;
use twilight_model::id::marker::{
    ChannelMarker, GenericMarker, GuildMarker, RoleMarker, UserMarker,
};

use super::error::Error;
use super::messages::History;
use super::permissions::Overwrite;
use super::request::path_id;
use super::snowflake::timestamp;
use super::token::Caller;
use super::world::World;

/// What a channel is, by Discord's number.
///
/// See <https://discord.com/developers/docs/resources/channel#channel-object-channel-types>.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text = 0,
    Voice = 2,
    Category = 4,
    Announcement = 5,
    PublicThread = 11,
    Stage = 13,
    Forum = 15,
    Media = 16,
}

impl Kind {
    /// Tells whether a message can be posted right into it; a forum wants a thread first.
    pub(super) fn takes_messages(self) -> bool {
        match self {
            Self::Announcement | Self::PublicThread | Self::Stage | Self::Text | Self::Voice => {
                true
            }
            Self::Category | Self::Forum | Self::Media => false,
        }
    }

    /// Tells whether it is a voice or a stage channel.
    pub(super) fn is_spoken(self) -> bool {
        matches!(self, Self::Stage | Self::Voice)
    }
}

/// Whom an overwrite is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// One member.
    Member(Id<UserMarker>),
    /// Everyone with a role.
    Role(Id<RoleMarker>),
}

/// What is set of a channel when the world is made.
pub(super) struct Setup {
    pub(super) id: Id<ChannelMarker>,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) position: usize,
    pub(super) parent_id: Option<Id<ChannelMarker>>,
    pub(super) topic: Option<&'static str>,
    pub(super) nsfw: bool,
    /// Who made it; only threads tell.
    pub(super) owner_id: Option<Id<UserMarker>>,
    pub(super) overwrites: Vec<(Whom, Overwrite)>,
}

/// One channel.
pub(super) struct Channel {
    guild_id: Id<GuildMarker>,
    setup: Setup,
    history: Mutex<History>,
}

impl Channel {
    /// Makes a channel that keeps so many messages.
    pub(super) fn new(guild_id: Id<GuildMarker>, setup: Setup, history: usize) -> Self {
        Self {
            guild_id,
            setup,
            history: Mutex::new(History::new(history)),
        }
    }

    /// Gives its id.
    pub(super) fn id(&self) -> Id<ChannelMarker> {
        self.setup.id
    }

    /// Gives its name.
    pub(super) fn name(&self) -> &'static str {
        self.setup.name
    }

    /// Gives what it is.
    pub(super) fn kind(&self) -> Kind {
        self.setup.kind
    }

    /// Tells whether it is a thread; threads are not in the list of a guild's channels.
    pub(super) fn is_thread(&self) -> bool {
        self.setup.kind == Kind::PublicThread
    }

    /// Gives its category, or the channel a thread is in.
    pub(super) fn parent_id(&self) -> Option<Id<ChannelMarker>> {
        self.setup.parent_id
    }

    /// Gives its overwrites. Those of its category are no part of it: Discord copies them.
    pub(super) fn overwrites(&self) -> &[(Whom, Overwrite)] {
        &self.setup.overwrites
    }

    /// Gives its messages, locked.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        // A panic while it was held cannot leave a message half in it.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it as Discord's `GuildChannelResponse`, or its `ThreadResponse`.
    pub(super) fn to_json(&self) -> Value {
        let mut channel = json!({
            "id": self.id(),
            "type": self.kind() as u8,
            "flags": 0,
            "guild_id": self.guild_id,
            "name": self.name(),
            "parent_id": self.parent_id(),
        });
        let more = match self.kind() {
            Kind::Announcement | Kind::Text => self.of_text(),
            Kind::Category => json!({}),
            Kind::Forum | Kind::Media => self.of_forum(),
            Kind::PublicThread => self.of_thread(),
            Kind::Stage | Kind::Voice => self.of_voice(),
        };
        extend(&mut channel, more);
        if !self.is_thread() {
            channel["position"] = json!(self.setup.position);
            channel["permission_overwrites"] =
                self.overwrites().iter().map(written).collect::<Value>();
            channel["nsfw"] = json!(self.setup.nsfw);
        }
        channel
    }

    fn of_text(&self) -> Value {
        json!({
            "last_message_id": self.history().last_id(),
            "rate_limit_per_user": 0,
            "topic": self.setup.topic,
        })
    }

    fn of_voice(&self) -> Value {
        json!({
            "last_message_id": self.history().last_id(),
            "rate_limit_per_user": 0,
            "bitrate": 64_000,
            "user_limit": 0,
            "rtc_region": null,
        })
    }

    fn of_forum(&self) -> Value {
        json!({
            "last_message_id": null,
            "rate_limit_per_user": 0,
            "topic": self.setup.topic,
            "available_tags": [],
            "default_reaction_emoji": null,
            "default_sort_order": null,
            "default_forum_layout": 0,
        })
    }

    fn of_thread(&self) -> Value {
        let history = self.history();
        let messages = history.total();
        json!({
            "last_message_id": history.last_id(),
            "rate_limit_per_user": 0,
            "owner_id": self.setup.owner_id,
            "thread_metadata": {
                "archived": false,
                "archive_timestamp": timestamp(self.id()),
                "auto_archive_duration": 4320,
                "locked": false,
                "create_timestamp": timestamp(self.id()),
            },
            "message_count": messages,
            "member_count": 1,
            "total_message_sent": messages,
        })
    }
}

fn extend(channel: &mut Value, more: Value) {
    if let (Some(channel), Value::Object(more)) = (channel.as_object_mut(), more) {
        channel.extend(more);
    }
}

fn written((whom, overwrite): &(Whom, Overwrite)) -> Value {
    let (kind, id): (u8, Id<GenericMarker>) = match whom {
        Whom::Role(id) => (0, id.cast()),
        Whom::Member(id) => (1, id.cast()),
    };
    json!({
        "id": id,
        "type": kind,
        "allow": overwrite.allow.bits().to_string(),
        "deny": overwrite.deny.bits().to_string(),
    })
}

/// `GET /channels/{channel_id}`
pub(super) async fn show(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(channel_id): Path<String>,
) -> Result<Json<Value>, Error> {
    let place = world.place(&caller, path_id("channel_id", &channel_id)?)?;
    Ok(Json(place.channel.to_json()))
}
