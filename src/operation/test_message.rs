//! `discord.test`: proves which bot a token is by a message that names it.

use futures_util::future::{try_join, try_join3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use twilight_model::{
    channel::ChannelType,
    id::{
        Id,
        marker::{ChannelMarker, GuildMarker, MessageMarker, UserMarker},
    },
};

use super::{
    Call, Effect, Error, Operation, Tool,
    body::{Nonce, Snowflake},
    guild::{self, Bot, Channel},
    send_message::{SendMessage, check_text},
};
use crate::discord::Discord;

/// Most guilds that are looked through for a channel.
const MAX_GUILDS: u16 = 10;

/// Posts a message that names the bot, to prove which bot a token is.
///
/// Without a channel it takes the bot's guilds by id, at most ten, and in them the first text
/// channel, as Discord shows them, that the bot may view and post in by its roles and the channel's
/// overwrites.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestMessage {
    /// Guild to look in, a snowflake in decimal; by default the bot's guilds.
    #[serde(alias = "server_id")]
    #[schemars(with = "Option<Snowflake>")]
    guild_id: Option<Id<GuildMarker>>,
    /// Channel to post in, a snowflake in decimal; by default the first that can be posted in.
    #[schemars(with = "Option<Snowflake>")]
    channel_id: Option<Id<ChannelMarker>>,
    /// Text to post; by default one that names the bot.
    #[schemars(length(max = 2000))]
    content: Option<String>,
    /// Whether to post nothing and only tell where it would be.
    dry_run: Option<bool>,
    /// Idempotency key, as of discord.sendMessage: at most 25 characters, or an integer.
    nonce: Option<Nonce>,
}

/// Which bot the token is, and where its message went.
#[derive(Serialize, JsonSchema)]
pub(super) struct Tested {
    /// Always true: anything else is an error.
    success: bool,
    /// Whether nothing was posted because that was asked for.
    dry_run: bool,
    /// Name of the bot.
    bot_info: String,
    /// Id of the bot.
    #[schemars(with = "String")]
    bot_id: Id<UserMarker>,
    /// The channel.
    #[schemars(with = "String")]
    channel_id: Id<ChannelMarker>,
    /// Name of the channel.
    channel_name: String,
    /// The guild; a direct message has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    guild_id: Option<Id<GuildMarker>>,
    /// Name of the guild.
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_name: Option<String>,
    /// The message, if one was posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    message_id: Option<Id<MessageMarker>>,
    /// When it was posted, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    /// The nonce it was sent with.
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    /// A link to the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Where to post.
struct Place {
    channel: Channel,
    guild: Option<(Id<GuildMarker>, String)>,
}

impl Operation for TestMessage {
    const NAME: &'static str = "discord.test";
    const EFFECT: Effect = Effect::Posts;
    const POSITIONS: &'static [&'static str] = &["guild_id", "channel_id", "content", "dry_run"];
    const TOOL: Option<Tool> = Some(Tool {
        name: "test_message",
        title: "Post a test message",
    });
    type Reply = Tested;

    async fn call(self, call: &Call) -> Result<Tested, Error> {
        if let Some(content) = &self.content {
            check_text(content)?;
        }
        if let Some(nonce) = &self.nonce {
            nonce.check()?;
        }
        let discord = call.discord()?;
        let (bot, place) = if let Some(id) = self.channel_id {
            call.check_channel(&discord, id).await?;
            let asked = try_join(guild::bot(&discord), guild::channel(&discord, id));
            let (bot, channel) = asked.await?;
            if self.guild_id.is_some() && channel.guild_id != self.guild_id {
                return Err(Error::Param {
                    path: "guild_id".to_owned(),
                    wanted: "the guild that the channel is in, or no guild".to_owned(),
                });
            }
            (bot, place_of(&discord, channel).await?)
        } else {
            if let Some(id) = self.guild_id {
                call.rights.check_guild(id)?;
            }
            let bot = guild::bot(&discord).await?;
            let place = find(call, &discord, &bot, self.guild_id).await?;
            (bot, place)
        };
        let mut tested = Tested::at(&bot, place);
        if self.dry_run.unwrap_or_default() {
            tested.dry_run = true;
            return Ok(tested);
        }
        let text = self.content.unwrap_or_else(|| {
            let Bot { id, username } = &bot;
            format!("This is {username} ({id}), posting through discordd.")
        });
        let message = SendMessage::text(tested.channel_id, tested.guild_id, text, self.nonce);
        let sent = message.send(&discord).await?;
        tested.message_id = Some(sent.message_id);
        tested.timestamp = Some(sent.timestamp);
        tested.nonce = Some(sent.nonce);
        tested.url = sent.url;
        Ok(tested)
    }
}

/// Asks what the guild of a channel is called.
async fn place_of(discord: &Discord, channel: Channel) -> Result<Place, Error> {
    let guild = match channel.guild_id {
        Some(id) => Some((id, guild::guild(discord, id).await?.name)),
        None => None,
    };
    Ok(Place { channel, guild })
}

/// Finds the first text channel that the bot may view and post in.
async fn find(
    call: &Call,
    discord: &Discord,
    bot: &Bot,
    only: Option<Id<GuildMarker>>,
) -> Result<Place, Error> {
    let guilds = match only {
        Some(id) => vec![id],
        None => candidates(call, discord).await?,
    };
    for id in &guilds {
        let read = try_join3(
            guild::guild(discord, *id),
            guild::member(discord, *id, bot.id),
            guild::channels(discord, *id),
        );
        let (guild, member, channels) = match read.await {
            Ok(read) => read,
            // Another guild may do; the only one may not.
            Err(error) if only.is_some() => return Err(error.into()),
            Err(error @ crate::discord::Error::Refused { .. }) => {
                tracing::debug!(%error, "a guild could not be read");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut channels = channels.into_iter();
        let found = channels.find(|channel| {
            channel.kind == ChannelType::GuildText
                && call
                    .rights
                    .check_channel(channel.id, Some(guild.id))
                    .is_ok()
                && guild::may_post(&guild, &member, bot.id, channel)
        });
        if let Some(channel) = found {
            let guild = Some((guild.id, guild.name));
            return Ok(Place { channel, guild });
        }
    }
    let guilds = guilds.iter().map(ToString::to_string).collect();
    Err(Error::NoChannel { guilds })
}

/// The guilds to look in: the bot's, or those that the caller may reach.
async fn candidates(call: &Call, discord: &Discord) -> Result<Vec<Id<GuildMarker>>, Error> {
    let Some(places) = call.rights.places() else {
        let guilds = guild::first_guilds(discord, MAX_GUILDS).await?;
        return Ok(guilds.into_iter().map(|guild| guild.id).collect());
    };
    let mut guilds = places.guilds;
    if !guilds.is_empty() {
        // Asking for one that the bot is not in would count against this machine's address.
        let of_bot = guild::all_guilds(discord).await?;
        guilds.retain(|id| of_bot.iter().any(|it| it.id == *id));
    }
    for id in places.channels.into_iter().take(MAX_GUILDS.into()) {
        match guild::channel(discord, id).await {
            Ok(channel) => guilds.extend(channel.guild_id),
            // Another may do.
            Err(error @ crate::discord::Error::Refused { .. }) => {
                tracing::debug!(%error, "a channel could not be read");
            }
            Err(error) => return Err(error.into()),
        }
    }
    guilds.sort_unstable();
    guilds.dedup();
    guilds.truncate(MAX_GUILDS.into());
    Ok(guilds)
}

impl Tested {
    fn at(bot: &Bot, place: Place) -> Self {
        let (guild_id, guild_name) = place.guild.unzip();
        Self {
            success: true,
            dry_run: false,
            bot_info: bot.username.clone(),
            bot_id: bot.id,
            channel_id: place.channel.id,
            channel_name: place.channel.name.unwrap_or_default(),
            guild_id,
            guild_name,
            message_id: None,
            timestamp: None,
            nonce: None,
            url: None,
        }
    }
}
