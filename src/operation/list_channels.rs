//! `discord.listChannels`: the channels that Discord lists.

use futures_util::{
    StreamExt,
    future::{try_join, try_join3},
    stream,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twilight_model::id::{
    Id,
    marker::{ChannelMarker, GuildMarker, UserMarker},
};

use super::{
    Call, Effect, Error, Operation, Tool,
    body::Snowflake,
    guild::{self, Channel, ChannelKind, ChannelKinds, GuildName},
};
use crate::discord::Discord;

/// Guilds read at once. Each has a connection of its own while it is.
const AT_ONCE: usize = 5;

/// Lists the channels of a guild, or of all the bot's guilds, in the order in which Discord shows
/// them.
///
/// It lists what Discord lists, and does not compute permissions: a channel may be listed that the
/// bot may not post in. A guild that cannot be read does not spoil the rest: it stands in errors.
/// See <https://discord.com/developers/docs/resources/guild#get-guild-channels>.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListChannels {
    /// Guild to list, a snowflake in decimal; by default all the bot's guilds.
    #[serde(alias = "server_id")]
    #[schemars(with = "Option<Snowflake>")]
    guild_id: Option<Id<GuildMarker>>,
    /// Kinds of channels to list; by default text alone.
    types: Option<ChannelKinds>,
}

/// The channels found.
#[derive(Serialize, JsonSchema)]
pub(super) struct Listing {
    /// Name of the bot.
    bot_info: String,
    /// Id of the bot.
    #[schemars(with = "String")]
    bot_id: Id<UserMarker>,
    /// The channels, guild by guild.
    channels: Vec<Listed>,
    /// How many channels there are.
    count: usize,
    /// Guilds that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Unread>,
}

/// A channel.
#[derive(Serialize, JsonSchema)]
struct Listed {
    /// The channel.
    #[schemars(with = "String")]
    id: Id<ChannelMarker>,
    /// Its name.
    name: String,
    /// Its kind.
    #[serde(rename = "type")]
    kind: ChannelKind,
    /// Name of its guild.
    guild: String,
    /// Its guild.
    #[schemars(with = "String")]
    guild_id: Id<GuildMarker>,
    /// The category it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    parent_id: Option<Id<ChannelMarker>>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// Its position among its neighbors, as Discord has it.
    position: i32,
    /// Whether it is marked for adults.
    nsfw: bool,
}

/// A guild that could not be read.
#[derive(Serialize, JsonSchema)]
struct Unread {
    /// The guild.
    #[schemars(with = "String")]
    guild_id: Id<GuildMarker>,
    /// What the error's code would be, were it the call's.
    code: u16,
    /// What happened.
    message: String,
}

impl Operation for ListChannels {
    const NAME: &'static str = "discord.listChannels";
    const EFFECT: Effect = Effect::Reads;
    const POSITIONS: &'static [&'static str] = &["guild_id", "types"];
    const TOOL: Option<Tool> = Some(Tool {
        name: "list_channels",
        title: "List channels",
    });
    type Reply = Listing;

    async fn call(self, call: &Call) -> Result<Listing, Error> {
        if let Some(id) = self.guild_id {
            call.rights.check_guild(id)?;
        }
        let discord = call.discord()?;
        let (bot, found) = if let Some(id) = self.guild_id {
            let (bot, guild, channels) = try_join3(
                guild::bot(&discord),
                guild::guild(&discord, id),
                guild::channels(&discord, id),
            )
            .await?;
            let (id, name) = (guild.id, guild.name);
            (bot, vec![(GuildName { id, name }, Ok(channels))])
        } else {
            let asked = try_join(guild::bot(&discord), guild::all_guilds(&discord));
            let (bot, mut guilds) = asked.await?;
            guilds.retain(|guild| call.rights.check_guild(guild.id).is_ok());
            (bot, read(&discord, guilds).await)
        };
        let mut reply = Listing {
            bot_info: bot.username,
            bot_id: bot.id,
            channels: Vec::new(),
            count: 0,
            errors: Vec::new(),
        };
        let kinds = self.types.unwrap_or_default();
        for (guild, channels) in found {
            match channels {
                Ok(mut channels) => {
                    let rights = &call.rights;
                    channels.retain(|it| rights.check_channel(it.id, Some(guild.id)).is_ok());
                    reply.add(&guild, channels, &kinds);
                }
                Err(error) => reply.errors.push(Unread::new(guild.id, error)),
            }
        }
        reply.count = reply.channels.len();
        Ok(reply)
    }
}

/// Reads the channels of many guilds, some at once, and keeps the guilds' order.
async fn read(
    discord: &Discord,
    guilds: Vec<GuildName>,
) -> Vec<(GuildName, Result<Vec<Channel>, crate::discord::Error>)> {
    let read = guilds.into_iter().map(async |guild| {
        let channels = guild::channels(discord, guild.id).await;
        (guild, channels)
    });
    let read: Vec<_> = read.collect();
    stream::iter(read).buffered(AT_ONCE).collect().await
}

impl Listing {
    fn add(&mut self, guild: &GuildName, channels: Vec<Channel>, kinds: &ChannelKinds) {
        let wanted = channels.into_iter().map(|channel| Listed {
            id: channel.id,
            name: channel.name.unwrap_or_default(),
            kind: channel.kind.into(),
            guild: guild.name.clone(),
            guild_id: guild.id,
            parent_id: channel.parent_id,
            topic: channel.topic,
            position: channel.position,
            nsfw: channel.nsfw,
        });
        self.channels
            .extend(wanted.filter(|channel| kinds.has(channel.kind)));
    }
}

impl Unread {
    fn new(guild_id: Id<GuildMarker>, error: crate::discord::Error) -> Self {
        let error = Error::from(error);
        Self {
            guild_id,
            code: error.status().unwrap_or(500),
            message: error.sentence(),
        }
    }
}
