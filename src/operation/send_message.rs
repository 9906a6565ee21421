//! `discord.sendMessage`: posts a message, once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use twilight_http::{request::Request, routing::Route};
use twilight_model::id::{
    Id,
    marker::{ChannelMarker, GuildMarker, MessageMarker, StickerMarker, UserMarker},
};
use twilight_validate::message::{EMBED_COUNT_LIMIT, MESSAGE_CONTENT_LENGTH_MAX, STICKER_MAX};

use super::{
    Call, Effect, Error, Operation, Tool,
    body::{
        AllowedMentions, Embed, MessageReference, Nonce, Object, Poll, Snowflake, check_chars,
        check_count, check_embeds,
    },
};
use crate::{
    discord::{self, Discord, Repeat},
    json::JsonObject,
};

/// Most components in a message, nested ones not counted.
/// See <https://discord.com/developers/docs/components/overview>.
const MAX_COMPONENTS: usize = 40;

/// Posts a message in a channel, exactly once.
///
/// The text is sent as it is given. Nobody is pinged unless allowed_mentions says so. A repeat with
/// the same nonce within a few minutes posts nothing and returns the first message.
/// Takes every field of Discord's own request; one of content, embeds, components, poll,
/// sticker_ids or a forwarded message is needed.
/// See <https://discord.com/developers/docs/resources/message#create-message>.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::doc_markdown,
    reason = "the docs are read by callers, in a JSON Schema"
)]
pub(super) struct SendMessage {
    /// Channel to post in, a snowflake in decimal.
    #[serde(skip_serializing)]
    #[schemars(with = "Snowflake")]
    channel_id: Id<ChannelMarker>,
    /// Text, at most 2000 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    content: Option<String>,
    /// Rich content, at most 10 embeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    embeds: Option<Vec<Object<Embed>>>,
    /// Whom the message may ping; by default nobody.
    #[serde(serialize_with = "or_nobody")]
    allowed_mentions: Option<Object<AllowedMentions>>,
    /// Message that this one answers, a snowflake in decimal: short for message_reference.
    #[serde(skip_serializing)]
    #[schemars(with = "Option<Snowflake>")]
    reply_to: Option<Id<MessageMarker>>,
    /// Message that this one answers or forwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_reference: Option<Object<MessageReference>>,
    /// Buttons, menus and layout, as Discord documents them; passed on as they are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    components: Option<Vec<JsonObject>>,
    /// Stickers, at most 3, each a snowflake in decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Snowflake>>")]
    sticker_ids: Option<Vec<Id<StickerMarker>>>,
    /// A poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<Object<Poll>>,
    /// Bits of Discord's message flags, such as 4 (no link previews) or 4096 (no notification).
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<u64>,
    /// Whether the text is read aloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    tts: Option<bool>,
    /// A client theme to share, as Discord documents it; passed on as it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Map<String, Value>>")]
    shared_client_theme: Option<JsonObject>,
    /// Idempotency key: at most 25 characters, or an integer. By default the daemon makes one.
    nonce: Option<Nonce>,
    /// Guild of the channel, if known: only to put guild_id and url into the result.
    #[serde(alias = "server_id", skip_serializing)]
    #[schemars(with = "Option<Snowflake>")]
    guild_id: Option<Id<GuildMarker>>,
}

/// The message that was posted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sent {
    /// Always true: anything else is an error.
    success: bool,
    /// The message.
    #[schemars(with = "String")]
    pub(super) message_id: Id<MessageMarker>,
    /// The channel it is in.
    #[schemars(with = "String")]
    channel_id: Id<ChannelMarker>,
    /// Name of the bot that posted it.
    bot_info: String,
    /// Id of the bot that posted it.
    #[schemars(with = "String")]
    bot_id: Id<UserMarker>,
    /// When it was posted, in RFC 3339.
    pub(super) timestamp: String,
    /// The nonce it was sent with.
    pub(super) nonce: String,
    /// The guild, if the call named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    guild_id: Option<Id<GuildMarker>>,
    /// A link to the message, if the call named the guild.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
}

/// What Discord gets: the params, and what makes a repeat the same message.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    message: &'a SendMessage,
    enforce_nonce: bool,
}

/// What is read of the message that Discord answers with. A field that is not needed cannot fail
/// a call whose message is already posted.
#[derive(Deserialize)]
struct Message {
    id: Id<MessageMarker>,
    channel_id: Id<ChannelMarker>,
    author: Author,
    timestamp: String,
    #[serde(default)]
    content: String,
}

#[derive(Deserialize)]
struct Author {
    id: Id<UserMarker>,
    username: String,
}

impl Operation for SendMessage {
    const NAME: &'static str = "discord.sendMessage";
    const EFFECT: Effect = Effect::Posts;
    const POSITIONS: &'static [&'static str] = &["channel_id", "content"];
    const TOOL: Option<Tool> = Some(Tool {
        name: "send_message",
        title: "Post a message",
    });
    type Reply = Sent;

    async fn call(self, call: &Call) -> Result<Sent, Error> {
        self.check()?;
        let discord = call.discord()?;
        self.check_places(call, &discord).await?;
        self.send(&discord).await
    }
}

impl SendMessage {
    /// A text in a channel, and nothing else.
    pub(super) fn text(
        channel_id: Id<ChannelMarker>,
        guild_id: Option<Id<GuildMarker>>,
        content: String,
        nonce: Option<Nonce>,
    ) -> Self {
        Self {
            channel_id,
            guild_id,
            content: Some(content),
            embeds: None,
            allowed_mentions: None,
            reply_to: None,
            message_reference: None,
            components: None,
            sticker_ids: None,
            poll: None,
            flags: None,
            tts: None,
            shared_client_theme: None,
            nonce,
        }
    }

    /// Sends it, once, unless Discord would refuse it.
    pub(super) async fn send(mut self, discord: &Discord) -> Result<Sent, Error> {
        self.check()?;
        let chosen = self.nonce.is_some();
        let nonce = self.nonce.get_or_insert_with(Nonce::random).to_string();
        if let Some(message_id) = self.reply_to {
            self.message_reference = Some(Object(MessageReference::reply(message_id)));
        }
        let sent = match self.request() {
            Ok(request) => {
                let request = discord.request::<Message>(request);
                discord.send(request, Repeat::Safe).await
            }
            Err(error) => Err(error),
        };
        let message: Message = sent.map_err(|error| Error::Discord {
            error: Box::new(error),
            nonce: Some(nonce.clone()),
        })?;
        if chosen && !self.is(&message) {
            return Err(Error::NonceReused {
                message_id: message.id.to_string(),
                nonce,
            });
        }
        Ok(self.sent(message, nonce))
    }

    /// Refuses what can be known to be refused.
    fn check(&self) -> Result<(), Error> {
        check_length(self.content.as_deref())?;
        check_count("embeds", length(self.embeds.as_ref()), EMBED_COUNT_LIMIT)?;
        check_count(
            "sticker_ids",
            length(self.sticker_ids.as_ref()),
            STICKER_MAX,
        )?;
        check_count(
            "components",
            length(self.components.as_ref()),
            MAX_COMPONENTS,
        )?;
        check_embeds(self.embeds.as_deref().unwrap_or_default())?;
        if let Some(nonce) = &self.nonce {
            nonce.check()?;
        }
        if self.reply_to.is_some() && self.message_reference.is_some() {
            return Err(Error::Param {
                path: "reply_to".to_owned(),
                wanted: "either this or message_reference, not both".to_owned(),
            });
        }
        if self.says_nothing() {
            return Err(nothing_to_send());
        }
        Ok(())
    }

    /// Refuses to post where the caller may not, or to show a message from there.
    async fn check_places(&self, call: &Call, discord: &Discord) -> Result<(), Error> {
        call.check_channel(discord, self.channel_id).await?;
        let reference = self.message_reference.as_ref().map(|it| &it.0);
        let Some((channel, guild)) = reference.map(MessageReference::place) else {
            return Ok(());
        };
        let channel = channel.unwrap_or(self.channel_id);
        if channel != self.channel_id {
            call.check_channel(discord, channel).await?;
        }
        if guild.is_some() {
            call.rights.check_channel(channel, guild)?;
        }
        Ok(())
    }

    fn says_nothing(&self) -> bool {
        let text = self.content.as_deref().unwrap_or_default();
        let reference = self.message_reference.as_ref();
        text.trim().is_empty()
            && length(self.embeds.as_ref()) == 0
            && length(self.components.as_ref()) == 0
            && length(self.sticker_ids.as_ref()) == 0
            && self.poll.is_none()
            && self.shared_client_theme.is_none()
            && !reference.is_some_and(|it| it.0.forwards())
    }

    fn request(&self) -> Result<Request, discord::Error> {
        let route = Route::CreateMessage {
            channel_id: self.channel_id.get(),
        };
        let body = Body {
            message: self,
            enforce_nonce: true,
        };
        let request = Request::builder(&route).json(&body).build();
        request.map_err(|_| discord::Error::Build)
    }

    /// Whether Discord's message is this one, and not one that the nonce was used for before.
    /// Discord trims what it stores, so white space does not count.
    fn is(&self, message: &Message) -> bool {
        let visible = |text: &str| -> String {
            let skipped = |c: &char| !c.is_whitespace() && !c.is_control();
            text.chars().filter(skipped).collect()
        };
        let sent = visible(self.content.as_deref().unwrap_or_default());
        message.channel_id == self.channel_id && visible(&message.content) == sent
    }

    fn sent(&self, message: Message, nonce: String) -> Sent {
        let Message { id, channel_id, .. } = message;
        let url = self
            .guild_id
            .map(|guild| format!("https://discord.com/channels/{guild}/{channel_id}/{id}"));
        Sent {
            success: true,
            message_id: id,
            channel_id,
            bot_info: message.author.username,
            bot_id: message.author.id,
            timestamp: message.timestamp,
            nonce,
            guild_id: self.guild_id,
            url,
        }
    }
}

fn length<T>(list: Option<&Vec<T>>) -> usize {
    list.map_or(0, Vec::len)
}

/// Refuses a text that Discord would not take for a message.
pub(super) fn check_text(text: &str) -> Result<(), Error> {
    check_length(Some(text))?;
    if text.trim().is_empty() {
        return Err(nothing_to_send());
    }
    Ok(())
}

fn check_length(text: Option<&str>) -> Result<(), Error> {
    check_chars("content", text, MESSAGE_CONTENT_LENGTH_MAX).map(drop)
}

fn nothing_to_send() -> Error {
    Error::Param {
        path: "content".to_owned(),
        wanted: "something to send: content, embeds, components, poll or sticker_ids".to_owned(),
    }
}

/// Without a word from the caller nobody is pinged; without a field Discord would ping everybody.
#[expect(
    clippy::ref_option,
    reason = "serde's serialize_with gives a reference"
)]
fn or_nobody<S: Serializer>(
    mentions: &Option<Object<AllowedMentions>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match mentions {
        Some(mentions) => mentions.serialize(serializer),
        None => AllowedMentions::default().serialize(serializer),
    }
}
