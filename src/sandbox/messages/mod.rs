//! Messages: creates them, and reads them back from a bounded history.
//!
//! See <https://discord.com/developers/docs/resources/message>.

mod components;
mod draft;
mod embeds;
mod history;
mod mentions;
mod nonces;
mod polls;
mod references;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, MessageMarker, RoleMarker, StickerMarker};

pub(super) use self::history::History;
pub(super) use self::nonces::Nonces;

use self::draft::Draft;
use self::history::Span;
use self::nonces::Nonce;
use self::references::{Reference, Referred};
use super::channels::{Channel, Kind};
use super::error::{Error, FormErrors};
use super::request::{Body, Parameters, path_id};
use super::snowflake::timestamp;
use super::token::Caller;
use super::users::User;
use super::world::{Place, World};

/// Most messages in one answer.
const MAX_PAGE: i64 = 100;
/// Messages in one answer when no number is asked for.
const DEFAULT_PAGE: i64 = 50;

/// The flag of a message that forwards another.
///
/// See <https://discord.com/developers/docs/resources/message#message-object-message-flags>.
const HAS_SNAPSHOT: i64 = 1 << 14;

/// A message, written as Discord's `MessageResponse`.
#[derive(Clone, Serialize)]
pub(super) struct Message {
    id: Id<MessageMarker>,
    channel_id: Id<ChannelMarker>,
    #[serde(rename = "type")]
    kind: u8,
    author: User,
    content: String,
    timestamp: String,
    edited_timestamp: Option<String>,
    tts: bool,
    pinned: bool,
    flags: i64,
    mention_everyone: bool,
    mentions: Vec<User>,
    mention_roles: Vec<Id<RoleMarker>>,
    attachments: [Value; 0],
    embeds: Vec<Value>,
    components: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sticker_items: Vec<StickerItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<Nonce>,
    #[serde(rename = "message_reference", skip_serializing_if = "Option::is_none")]
    reference: Option<Reference>,
    #[serde(rename = "message_snapshots", skip_serializing_if = "Vec::is_empty")]
    snapshots: Vec<Value>,
    #[serde(
        rename = "referenced_message",
        skip_serializing_if = "Referenced::is_unasked"
    )]
    referenced: Referenced,
}

/// What a reply answers. It is looked up when the reply is read, so that no message keeps
/// another alive.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Referenced {
    /// It is not there any more; written as null.
    Gone,
    /// It is this one.
    Message(Box<Message>),
    /// The message is no reply, or was not looked up.
    Unasked,
}

impl Referenced {
    fn is_unasked(&self) -> bool {
        matches!(self, Self::Unasked)
    }
}

/// A sticker of a message.
#[derive(Clone, Serialize)]
struct StickerItem {
    id: Id<StickerMarker>,
    name: String,
    format_type: u8,
}

impl Message {
    /// Gives the message as it is written now: a reply with what it answers, if that still is
    /// in the history.
    fn written(message: &Arc<Self>, history: &History) -> Self {
        let mut written = Self::clone(message);
        if let Some(reference) = message.reference.as_ref().filter(|it| it.is_reply()) {
            let referenced = history.find(reference.message_id);
            written.referenced = referenced.map_or(Referenced::Gone, |referenced| {
                Referenced::Message(Box::new(Self::clone(referenced)))
            });
        }
        written
    }
}

/// `POST /channels/{channel_id}/messages`
pub(super) async fn create(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(channel_id): Path<String>,
    body: Body,
) -> Result<Json<Message>, Error> {
    let channel_id = path_id("channel_id", &channel_id)?;
    let place = world.place(&caller, channel_id)?;
    let channel = place.channel;
    if !channel.kind().takes_messages() {
        return Err(Error::NotText);
    }
    place.require(if channel.is_thread() {
        Permissions::SEND_MESSAGES_IN_THREADS
    } else {
        Permissions::SEND_MESSAGES
    })?;
    let draft = Draft::read(&body.form(), &place, &caller, &world)?;
    if draft.is_empty() {
        return Err(Error::EmptyMessage);
    }
    let Some(nonce) = draft.nonce.clone() else {
        let message = post(&world, channel, caller.0, draft);
        return Ok(Json(Message::written(&message, &channel.history())));
    };

    // Held until the message is made: of two at once with one nonce, one must find the other.
    let mut nonces = world.nonces();
    let now = Instant::now();
    let key = (caller.0.id(), nonce.to_string());
    let first = nonces.find(&key, now).filter(|_| draft.enforce_nonce);
    if let Some(first) = first {
        // It may be in another channel than the one this request names.
        let channel = world.place(&caller, first.channel_id)?.channel;
        return Ok(Json(Message::written(&first, &channel.history())));
    }
    let message = post(&world, channel, caller.0, draft);
    nonces.remember(key, &message, now);
    Ok(Json(Message::written(&message, &channel.history())))
}

fn post(world: &World, channel: &Channel, author: User, draft: Draft) -> Arc<Message> {
    world.messages.fetch_add(1, Ordering::Relaxed);
    let mut history = channel.history();
    // The id is taken while the history is locked, so that the history is sorted by it.
    let id = world.snowflakes.next();
    let is_reply = matches!(draft.referred, Some(Referred::Reply { .. }));
    let (reference, snapshot) = draft.referred.map(Referred::written).unzip();
    let snapshots: Vec<Value> = snapshot.into_iter().flatten().collect();
    let flags = if snapshots.is_empty() {
        draft.flags
    } else {
        draft.flags | HAS_SNAPSHOT
    };
    let message = Arc::new(Message {
        id,
        channel_id: channel.id(),
        kind: if is_reply { 19 } else { 0 },
        author,
        content: draft.content,
        timestamp: timestamp(id),
        edited_timestamp: None,
        tts: draft.tts,
        pinned: false,
        flags,
        mention_everyone: draft.mentions.everyone,
        mentions: draft.mentions.users,
        mention_roles: draft.mentions.roles,
        attachments: [],
        embeds: draft.embeds,
        components: draft.components,
        sticker_items: draft.stickers,
        poll: draft.poll.map(|poll| poll.opened(id)),
        nonce: draft.nonce,
        reference,
        snapshots,
        referenced: Referenced::Unasked,
    });
    history.push(Arc::clone(&message));
    message
}

/// `GET /channels/{channel_id}/messages`
pub(super) async fn list(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path(channel_id): Path<String>,
    query: Parameters,
) -> Result<Json<Vec<Message>>, Error> {
    let channel_id = path_id("channel_id", &channel_id)?;
    let place = readable(&world, &caller, channel_id)?;
    let form = query.form();
    let mut errors = FormErrors::default();
    let limit = form.key("limit").integer(1..=MAX_PAGE, &mut errors);
    let around = form.key("around").snowflake(&mut errors);
    let before = form.key("before").snowflake(&mut errors);
    let after = form.key("after").snowflake(&mut errors);
    errors.finish()?;

    // Discord takes one of the three; which one goes first where several come is its own affair.
    let span = match (around, before, after) {
        (Some(id), _, _) => Span::Around(id),
        (None, Some(id), _) => Span::Before(id),
        (None, None, Some(id)) => Span::After(id),
        (None, None, None) => Span::Latest,
    };
    let limit = usize::try_from(limit.unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    // Without the permission the list is empty, and that is no error:
    // https://discord.com/developers/docs/resources/message#get-channel-messages
    if !place
        .permissions
        .contains(Permissions::READ_MESSAGE_HISTORY)
    {
        return Ok(Json(Vec::new()));
    }
    let history = place.channel.history();
    let page = history.page(span, limit);
    let written = page.map(|message| Message::written(message, &history));
    Ok(Json(written.collect()))
}

/// `GET /channels/{channel_id}/messages/{message_id}`
pub(super) async fn show(
    State(world): State<Arc<World>>,
    caller: Caller,
    Path((channel_id, message_id)): Path<(String, String)>,
) -> Result<Json<Message>, Error> {
    let channel_id = path_id("channel_id", &channel_id)?;
    let message_id = path_id("message_id", &message_id)?;
    let place = readable(&world, &caller, channel_id)?;
    place.require(Permissions::READ_MESSAGE_HISTORY)?;
    let history = place.channel.history();
    let message = history.find(message_id).ok_or(Error::UnknownMessage)?;
    Ok(Json(Message::written(message, &history)))
}

/// Finds a channel to read messages in; in a voice channel that takes the permission to connect.
fn readable<'a>(
    world: &'a World,
    caller: &Caller,
    channel_id: Id<ChannelMarker>,
) -> Result<Place<'a>, Error> {
    let place = world.place(caller, channel_id)?;
    match place.channel.kind() {
        Kind::Category | Kind::Forum | Kind::Media => return Err(Error::NotTextToRead),
        Kind::Stage | Kind::Voice => place.require(Permissions::CONNECT)?,
        Kind::Announcement | Kind::PublicThread | Kind::Text => (),
    }
    Ok(place)
}
