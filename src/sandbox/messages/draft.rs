//! A message as a caller asks for it: reads and checks the body of create-message.
//!
//! It posts nothing. See
//! <https://discord.com/developers/docs/resources/message#create-message>.

use serde_json::{Map, Value, json};
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, MessageMarker, StickerMarker};

use super::super::channels::Channel;
use super::super::error::{Error, FormErrors};
use super::super::form::Field;
use super::super::users::User;
use super::super::world::World;
use super::mentions::{Allowed, Mentions};
use super::nonces::Nonce;
use super::polls::Poll;
use super::{StickerItem, embeds};

/// Longest content, in characters.
const MAX_CONTENT: usize = 2000;
/// Most stickers in a message.
const MAX_STICKERS: usize = 3;
/// Most components in a message, the nested ones not counted.
const MAX_COMPONENTS: usize = 40;
/// The flags a sender can set: embeds suppressed, notifications suppressed.
const SENDABLE_FLAGS: i64 = 1 << 2 | 1 << 12;
/// The flag of a message made of components alone.
const IS_COMPONENTS_V2: i64 = 1 << 15;

/// A checked body.
pub(super) struct Draft {
    pub(super) content: String,
    pub(super) tts: bool,
    pub(super) flags: i64,
    pub(super) mentions: Mentions,
    pub(super) embeds: Vec<Value>,
    pub(super) components: Vec<Value>,
    pub(super) stickers: Vec<StickerItem>,
    pub(super) poll: Option<Poll>,
    pub(super) nonce: Option<Nonce>,
    pub(super) enforce_nonce: bool,
    pub(super) replies_to: Option<Id<MessageMarker>>,
}

impl Draft {
    /// Reads the body of a message for this channel.
    ///
    /// # Errors
    ///
    /// When a field is bad; every bad one is in the tree.
    pub(super) fn read(form: &Field<'_>, channel: &Channel, world: &World) -> Result<Self, Error> {
        let mut errors = FormErrors::default();
        let content = form.key("content").text(MAX_CONTENT, &mut errors);
        let content = content.unwrap_or_default().trim().to_owned();
        let tts = form.key("tts").boolean(&mut errors);
        let flags = form.key("flags").integer(0..=i64::MAX, &mut errors);
        let flags = flags.unwrap_or(0) & (SENDABLE_FLAGS | IS_COMPONENTS_V2);
        let embeds = embeds::read(&form.key("embeds"), &mut errors);
        let components = read_components(&form.key("components"), &mut errors);
        let stickers = read_stickers(&form.key("sticker_ids"), &mut errors);
        let poll = Poll::read(&form.key("poll"), &mut errors);
        let nonce = Nonce::read(&form.key("nonce"), &mut errors);
        let enforce_nonce = form.key("enforce_nonce").boolean(&mut errors);
        let allowed = Allowed::read(&form.key("allowed_mentions"), &mut errors);
        let replied = read_reference(&form.key("message_reference"), channel, &mut errors);
        if flags & IS_COMPONENTS_V2 != 0 {
            refuse_legacy_fields(form, &mut errors);
        }
        errors.finish()?;

        let (replies_to, author) = replied.unzip();
        Ok(Self {
            mentions: allowed.resolve(&content, author, world),
            content,
            tts: tts.unwrap_or(false),
            flags,
            embeds,
            components,
            stickers,
            poll,
            nonce,
            enforce_nonce: enforce_nonce.unwrap_or(false),
            replies_to,
        })
    }

    /// Tells whether there is nothing to post.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
            && self.embeds.is_empty()
            && self.components.is_empty()
            && self.stickers.is_empty()
            && self.poll.is_none()
    }
}

fn read_stickers(field: &Field<'_>, errors: &mut FormErrors) -> Vec<StickerItem> {
    let ids = field.items(MAX_STICKERS, errors);
    let ids = ids.iter().filter_map(|id| id.snowflake(errors));
    let item = |id: Id<StickerMarker>| StickerItem {
        id,
        name: format!("sticker-{id}"),
        format_type: 1,
    };
    ids.map(item).collect()
}

/// Reads the message to answer, which must be in the same channel.
fn read_reference(
    field: &Field<'_>,
    channel: &Channel,
    errors: &mut FormErrors,
) -> Option<(Id<MessageMarker>, User)> {
    if !field.is_object(errors) {
        return None;
    }
    field.key("message_id").require(errors);
    let message_id = field.key("message_id").snowflake(errors)?;
    let channel_id: Option<Id<ChannelMarker>> = field.key("channel_id").snowflake(errors);
    let kind = field.key("type").integer(0..=i64::MAX, errors);
    if kind.is_some_and(|kind| kind != 0) {
        let kind = field.key("type");
        kind.refuse("BASE_TYPE_CHOICES", "Value must be one of (0,).", errors);
    }
    let must_exist = field.key("fail_if_not_exists").boolean(errors);
    let is_here = channel_id.is_none_or(|channel_id| channel_id == channel.id());
    let history = channel.history();
    let Some(message) = history.find(message_id).filter(|_| is_here) else {
        if must_exist.unwrap_or(true) {
            field.refuse("REPLIES_UNKNOWN_MESSAGE", "Unknown message", errors);
        }
        return None;
    };
    Some((message_id, message.author.clone()))
}

/// Reads components, which are not checked, and numbers those that have no id, as Discord does.
fn read_components(field: &Field<'_>, errors: &mut FormErrors) -> Vec<Value> {
    let items = field.items(MAX_COMPONENTS, errors);
    let mut last = 0;
    let mut components = Vec::new();
    for item in items {
        if !item.is_object(errors) {
            continue;
        }
        if let Some(Value::Object(component)) = item.value() {
            let mut component = component.clone();
            number(&mut component, &mut last);
            components.push(Value::Object(component));
        }
    }
    components
}

fn number(component: &mut Map<String, Value>, last: &mut u32) {
    *last += 1;
    component.entry("id").or_insert(json!(*last));
    if let Some(Value::Array(children)) = component.get_mut("components") {
        for child in children.iter_mut().filter_map(Value::as_object_mut) {
            number(child, last);
        }
    }
    for name in ["accessory", "component"] {
        if let Some(Value::Object(child)) = component.get_mut(name) {
            number(child, last);
        }
    }
}

fn refuse_legacy_fields(form: &Field<'_>, errors: &mut FormErrors) {
    for name in ["content", "embeds", "poll", "sticker_ids"] {
        let field = form.key(name);
        if field.is_present() {
            let message = format!(
                "The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
            );
            let code = "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2";
            field.refuse(code, &message, errors);
        }
    }
}
