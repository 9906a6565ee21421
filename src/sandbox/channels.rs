//! Channels of a guild, and what the bots may do in them.
//!
//! See <https://discord.com/developers/docs/resources/channel>.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker};

use super::error::Error;
use super::messages::History;
use super::request::path_id;
use super::token::Caller;
use super::world::World;

/// One text channel.
pub(super) struct Channel {
    id: Id<ChannelMarker>,
    guild_id: Id<GuildMarker>,
    name: &'static str,
    position: usize,
    denied: Permissions,
    history: Mutex<History>,
}

impl Channel {
    /// Makes a text channel that keeps so many messages and denies everyone so much.
    pub(super) fn new(
        (id, name): (u64, &'static str),
        guild_id: Id<GuildMarker>,
        position: usize,
        denied: Permissions,
        history: usize,
    ) -> Self {
        Self {
            id: Id::new(id),
            guild_id,
            name,
            position,
            denied,
            history: Mutex::new(History::new(history)),
        }
    }

    /// Gives its id.
    pub(super) fn id(&self) -> Id<ChannelMarker> {
        self.id
    }

    /// Gives its guild's id.
    pub(super) fn guild_id(&self) -> Id<GuildMarker> {
        self.guild_id
    }

    /// Gives its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Gives what is left of the guild's permissions after the channel's overwrites.
    ///
    /// See <https://discord.com/developers/docs/topics/permissions#permission-overwrites>.
    pub(super) fn permissions(&self, guild: Permissions) -> Permissions {
        guild.difference(self.denied)
    }

    /// Gives its messages, locked.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        // A panic while it was held cannot leave a message half in it.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes it as Discord's `GuildChannelResponse`.
    pub(super) fn to_json(&self) -> Value {
        let mut overwrites = Vec::new();
        if !self.denied.is_empty() {
            overwrites.push(json!({
                "id": self.guild_id,
                "type": 0,
                "allow": "0",
                "deny": self.denied.bits().to_string(),
            }));
        }
        json!({
            "id": self.id,
            "type": 0,
            "last_message_id": self.history().last_id(),
            "flags": 0,
            "guild_id": self.guild_id,
            "name": self.name,
            "parent_id": null,
            "rate_limit_per_user": 0,
            "topic": null,
            "position": self.position,
            "permission_overwrites": overwrites,
            "nsfw": false,
        })
    }
}

/// `GET /channels/{channel_id}`
pub(super) async fn show(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(channel_id): Path<String>,
) -> Result<Json<Value>, Error> {
    let channel = world.channel(&caller, path_id("channel_id", &channel_id)?)?;
    Ok(Json(channel.to_json()))
}
