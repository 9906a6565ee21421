//! Guilds: their roles, their members, and the list of their channels.
//!
//! See <https://discord.com/developers/docs/resources/guild>.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker, RoleMarker, UserMarker};

use super::channels::{Channel, Whom};
use super::error::Error;
use super::permissions::{self, Overwrite, Steps};
use super::request::{Parameters, path_id};
use super::snowflake::timestamp;
use super::token::Caller;
use super::users::User;
use super::world::World;

/// Until when the timed-out are: a time that no test lives to see.
const TIMEOUT_END: &str = "2099-01-01T00:00:00+00:00";

/// One role.
pub(super) struct Role {
    pub(super) id: Id<RoleMarker>,
    pub(super) name: &'static str,
    pub(super) permissions: Permissions,
    /// Whether those who may not mention everyone may mention it.
    pub(super) mentionable: bool,
}

/// One bot in a guild.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) id: Id<UserMarker>,
    /// Its roles besides `@everyone`.
    pub(super) roles: Vec<Id<RoleMarker>>,
    pub(super) is_timed_out: bool,
}

impl Member {
    /// Makes a member without roles.
    pub(super) fn plain(id: Id<UserMarker>) -> Self {
        Self {
            id,
            roles: Vec::new(),
            is_timed_out: false,
        }
    }

    fn to_json(&self, guild: &Guild, user: &User) -> Value {
        json!({
            "user": user,
            "nick": null,
            "avatar": null,
            "banner": null,
            "avatar_decoration_data": null,
            "collectibles": null,
            "roles": self.roles,
            "joined_at": timestamp(guild.id),
            "premium_since": null,
            "deaf": false,
            "mute": false,
            "flags": 0,
            "pending": false,
            "communication_disabled_until": self.is_timed_out.then_some(TIMEOUT_END),
        })
    }
}

/// One guild.
pub(super) struct Guild {
    pub(super) id: Id<GuildMarker>,
    pub(super) name: String,
    pub(super) owner_id: Id<UserMarker>,
    /// Whether every bot that is not one of the world's own is a member.
    pub(super) is_open: bool,
    pub(super) members: Vec<Member>,
    /// The role of everyone, then the others from the lowest up.
    pub(super) roles: Vec<Role>,
    /// In the order it lists them in; threads are here too.
    pub(super) channels: Vec<Channel>,
}

impl Guild {
    /// Gives what a member may do in it.
    pub(super) fn permissions(&self, member: &Member) -> Permissions {
        let everyone = self.id.cast();
        let has = |role: &&Role| role.id == everyone || member.roles.contains(&role.id);
        let roles = self.roles.iter().filter(has).map(|role| role.permissions);
        permissions::in_guild(self.owner_id == member.id, member.is_timed_out, roles)
    }

    /// Gives what a member may do in one of its channels.
    pub(super) fn permissions_in(&self, channel: &Channel, member: &Member) -> Permissions {
        // A thread has no overwrites: those of the channel it is in count.
        let parent = channel.parent_id().filter(|_| channel.is_thread());
        let holder = parent.and_then(|id| self.channel(id)).unwrap_or(channel);
        let everyone = Whom::Role(self.id.cast());
        let of = |whom: Whom| {
            let mut overwrites = holder.overwrites().iter();
            let found = overwrites.find(|(about, _)| *about == whom);
            found.map(|(_, overwrite)| *overwrite)
        };
        let steps = Steps {
            everyone: of(everyone),
            roles: roles_of(holder.overwrites(), member).collect(),
            member: of(Whom::Member(member.id)),
        };
        permissions::in_channel(
            self.permissions(member),
            member.is_timed_out,
            holder.kind().is_spoken(),
            channel.is_thread(),
            steps,
        )
    }

    /// Finds one of its channels.
    pub(super) fn channel(&self, id: Id<ChannelMarker>) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.id() == id)
    }

    fn roles(&self) -> Vec<Value> {
        let roles = self.roles.iter().enumerate();
        let roles = roles.map(|(position, role)| {
            json!({
                "id": role.id,
                "name": role.name,
                "permissions": role.permissions.bits().to_string(),
                "position": position,
                "color": 0,
                "colors": {
                    "primary_color": 0, "secondary_color": null, "tertiary_color": null,
                },
                "hoist": false,
                "managed": false,
                "mentionable": role.mentionable,
                "icon": null,
                "unicode_emoji": null,
                "flags": 0,
            })
        });
        roles.collect()
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
        guild["roles"] = json!(self.roles());
        guild["system_channel_id"] = json!(self.channels.first().map(Channel::id));
        guild
    }
}

/// Gives the overwrites of the roles that a member has.
fn roles_of(overwrites: &[(Whom, Overwrite)], member: &Member) -> impl Iterator<Item = Overwrite> {
    let has = |whom: &Whom| matches!(whom, Whom::Role(id) if member.roles.contains(id));
    let overwrites = overwrites.iter().filter(move |(whom, _)| has(whom));
    overwrites.map(|(_, overwrite)| *overwrite)
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
        answer["approximate_member_count"] = json!(guild.members.len());
        answer["approximate_presence_count"] = json!(guild.members.len());
    }
    Ok(Json(answer))
}

/// `GET /guilds/{guild_id}/channels`, which names those too that the bot may not see.
pub(super) async fn channels(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(guild_id): Path<String>,
) -> Result<Json<Vec<Value>>, Error> {
    let guild = world.guild(&caller, path_id("guild_id", &guild_id)?)?;
    let listed = guild.channels.iter();
    let listed = listed.filter(|channel| !channel.is_thread());
    Ok(Json(listed.map(Channel::to_json).collect()))
}

/// `GET /guilds/{guild_id}/roles`
pub(super) async fn roles(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(guild_id): Path<String>,
) -> Result<Json<Vec<Value>>, Error> {
    let guild = world.guild(&caller, path_id("guild_id", &guild_id)?)?;
    Ok(Json(guild.roles()))
}

/// `GET /guilds/{guild_id}/members/{user_id}`
pub(super) async fn member(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path((guild_id, user_id)): Path<(String, String)>,
) -> Result<Json<Value>, Error> {
    let guild = world.guild(&caller, path_id("guild_id", &guild_id)?)?;
    let user_id = path_id("user_id", &user_id)?;
    let user = world.user(user_id).ok_or(Error::UnknownUser)?;
    let member = world.member(guild, user_id).ok_or(Error::UnknownMember)?;
    Ok(Json(member.to_json(guild, &user)))
}
