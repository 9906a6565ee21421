//! Guilds and the list of their channels.
//!
//! See <https://discord.com/developers/docs/resources/guild>.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{GuildMarker, UserMarker};

use super::channels::Channel;
use super::error::Error;
use super::request::{Parameters, path_id};
use super::token::Caller;
use super::world::World;

/// Who is in a guild.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Members {
    /// Every bot there is.
    EveryBot,
    /// None of them.
    NoBot,
}

/// One guild.
pub(super) struct Guild {
    id: Id<GuildMarker>,
    name: &'static str,
    owner_id: Id<UserMarker>,
    members: Members,
    everyone: Permissions,
    channels: Vec<Channel>,
}

impl Guild {
    /// Makes a guild; its channels stand in the order in which it lists them.
    pub(super) fn new(
        id: Id<GuildMarker>,
        name: &'static str,
        owner_id: Id<UserMarker>,
        members: Members,
        channels: Vec<Channel>,
    ) -> Self {
        Self {
            id,
            name,
            owner_id,
            members,
            everyone: Permissions::VIEW_CHANNEL
                | Permissions::SEND_MESSAGES
                | Permissions::SEND_TTS_MESSAGES
                | Permissions::EMBED_LINKS
                | Permissions::ATTACH_FILES
                | Permissions::READ_MESSAGE_HISTORY
                | Permissions::MENTION_EVERYONE
                | Permissions::USE_EXTERNAL_EMOJIS
                | Permissions::ADD_REACTIONS,
            channels,
        }
    }

    /// Gives its id.
    pub(super) fn id(&self) -> Id<GuildMarker> {
        self.id
    }

    /// Gives its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Gives its channels.
    pub(super) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Tells whether this bot is in it.
    pub(super) fn has(&self, _: &Caller) -> bool {
        self.members == Members::EveryBot
    }

    /// Gives what its `@everyone` role permits, the only role there is.
    pub(super) fn permissions(&self) -> Permissions {
        self.everyone
    }

    fn role(&self) -> Value {
        json!({
            // The role of everyone has the guild's own id.
            "id": self.id,
            "name": "@everyone",
            "permissions": self.permissions().bits().to_string(),
            "position": 0,
            "color": 0,
            "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null },
            "hoist": false,
            "managed": false,
            "mentionable": false,
            "icon": null,
            "unicode_emoji": null,
            "flags": 0,
        })
    }

    /// Gives what is the same for every guild.
    fn defaults() -> Value {
        json!({
            "icon": null,
            "description": null,
            "home_header": null,
            "splash": null,
            "discovery_splash": null,
            "features": [],
            "banner": null,
            "application_id": null,
            "region": "deprecated",
            "afk_channel_id": null,
            "afk_timeout": 300,
            "system_channel_flags": 0,
            "widget_enabled": false,
            "widget_channel_id": null,
            "verification_level": 1,
            "default_message_notifications": 1,
            "mfa_level": 0,
            "explicit_content_filter": 0,
            "max_presences": null,
            "max_members": 500_000,
            "max_stage_video_channel_users": 50,
            "max_video_channel_users": 25,
            "vanity_url_code": null,
            "premium_tier": 0,
            "premium_subscription_count": 0,
            "preferred_locale": "en-US",
            "rules_channel_id": null,
            "safety_alerts_channel_id": null,
            "public_updates_channel_id": null,
            "premium_progress_bar_enabled": false,
            "nsfw": false,
            "nsfw_level": 0,
            "emojis": [],
            "stickers": [],
            "incidents_data": null,
        })
    }

    fn to_json(&self) -> Value {
        let mut guild = Self::defaults();
        guild["id"] = json!(self.id);
        guild["name"] = json!(self.name);
        guild["owner_id"] = json!(self.owner_id);
        guild["roles"] = json!([self.role()]);
        guild["system_channel_id"] = json!(self.channels.first().map(Channel::id));
        guild
    }
}

/// `GET /guilds/{guild_id}`
pub(super) async fn show(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(guild_id): Path<String>,
    query: Parameters,
) -> Result<Json<Value>, Error> {
    let guild = world.guild(&caller, path_id("guild_id", &guild_id)?)?;
    let mut answer = guild.to_json();
    if matches!(query.form().key("with_counts").value(), Some(text) if text == "true") {
        answer["approximate_member_count"] = json!(world.bots().len());
        answer["approximate_presence_count"] = json!(world.bots().len());
    }
    Ok(Json(answer))
}

/// `GET /guilds/{guild_id}/channels`
pub(super) async fn channels(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(guild_id): Path<String>,
) -> Result<Json<Vec<Value>>, Error> {
    let guild = world.guild(&caller, path_id("guild_id", &guild_id)?)?;
    Ok(Json(
        guild.channels().iter().map(Channel::to_json).collect(),
    ))
}
