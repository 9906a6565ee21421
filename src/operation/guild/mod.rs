//! Guilds and their channels as REST tells of them, without a gateway.
//!
//! Only the fields that are used are read, so that no other can fail a call.

mod kind;
mod order;
mod permissions;

use serde::Deserialize;
use twilight_http::routing::Route;
use twilight_model::{
    channel::{ChannelType, permission_overwrite::PermissionOverwrite},
    guild::Permissions,
    id::{
        Id,
        marker::{ChannelMarker, GuildMarker, RoleMarker, UserMarker},
    },
    util::Timestamp,
};

pub(super) use self::{
    kind::{ChannelKind, ChannelKinds},
    order::as_shown,
    permissions::may_post,
};
use crate::discord::{Discord, Error};

/// Guilds in one page of the bot's guilds, the most that Discord gives.
/// See <https://discord.com/developers/docs/resources/user#get-current-user-guilds>.
const PAGE: u16 = 200;

/// The bot itself.
#[derive(Deserialize)]
pub(super) struct Bot {
    pub(super) id: Id<UserMarker>,
    pub(super) username: String,
}

/// A guild by name.
#[derive(Deserialize)]
pub(super) struct GuildName {
    pub(super) id: Id<GuildMarker>,
    pub(super) name: String,
}

/// A guild with what its members' permissions are computed from.
#[derive(Deserialize)]
pub(super) struct Guild {
    pub(super) id: Id<GuildMarker>,
    pub(super) name: String,
    owner_id: Id<UserMarker>,
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Role {
    id: Id<RoleMarker>,
    permissions: Permissions,
}

/// The bot as a member of a guild.
#[derive(Deserialize)]
pub(super) struct Member {
    roles: Vec<Id<RoleMarker>>,
    communication_disabled_until: Option<Timestamp>,
}

/// A channel of a guild.
#[derive(Clone, Deserialize)]
pub(super) struct Channel {
    pub(super) id: Id<ChannelMarker>,
    #[serde(rename = "type")]
    pub(super) kind: ChannelType,
    #[serde(default)]
    pub(super) name: Option<String>,
    pub(super) guild_id: Option<Id<GuildMarker>>,
    pub(super) parent_id: Option<Id<ChannelMarker>>,
    pub(super) topic: Option<String>,
    #[serde(default)]
    pub(super) position: i32,
    #[serde(default)]
    pub(super) nsfw: bool,
    #[serde(default)]
    permission_overwrites: Vec<PermissionOverwrite>,
}

/// Asks who the bot is.
pub(super) async fn bot(discord: &Discord) -> Result<Bot, Error> {
    discord.get(&Route::GetCurrentUser).await
}

/// Asks for the first `limit` of the bot's guilds, by id.
pub(super) async fn first_guilds(discord: &Discord, limit: u16) -> Result<Vec<GuildName>, Error> {
    page(discord, None, limit).await
}

/// Asks for all of the bot's guilds, page by page.
pub(super) async fn all_guilds(discord: &Discord) -> Result<Vec<GuildName>, Error> {
    let mut all: Vec<GuildName> = Vec::new();
    loop {
        let after = all.last().map(|guild| guild.id);
        let mut more = page(discord, after.map(Id::get), PAGE).await?;
        // What is not behind the page before was in it: such pages would be asked for without end.
        more.retain(|guild| after.is_none_or(|after| guild.id > after));
        let is_last = more.len() < usize::from(PAGE);
        all.extend(more);
        if is_last {
            return Ok(all);
        }
    }
}

async fn page(discord: &Discord, after: Option<u64>, limit: u16) -> Result<Vec<GuildName>, Error> {
    let route = Route::GetGuilds {
        after,
        before: None,
        limit: Some(limit),
        shard: None,
    };
    discord.get(&route).await
}

/// Asks for a guild.
pub(super) async fn guild(discord: &Discord, id: Id<GuildMarker>) -> Result<Guild, Error> {
    let route = Route::GetGuild {
        guild_id: id.get(),
        with_counts: false,
    };
    discord.get(&route).await
}

/// Asks for a guild's channels, in the order in which Discord shows them.
pub(super) async fn channels(
    discord: &Discord,
    guild: Id<GuildMarker>,
) -> Result<Vec<Channel>, Error> {
    let route = Route::GetChannels {
        guild_id: guild.get(),
    };
    Ok(as_shown(discord.get(&route).await?))
}

/// Asks for one channel.
pub(super) async fn channel(discord: &Discord, id: Id<ChannelMarker>) -> Result<Channel, Error> {
    let route = Route::GetChannel {
        channel_id: id.get(),
    };
    discord.get(&route).await
}

/// Asks for a member of a guild.
pub(super) async fn member(
    discord: &Discord,
    guild: Id<GuildMarker>,
    user: Id<UserMarker>,
) -> Result<Member, Error> {
    let route = Route::GetMember {
        guild_id: guild.get(),
        user_id: user.get(),
    };
    discord.get(&route).await
}
