//! A message as a caller asks for it: reads and checks the body of create-message.
//!
//! It posts nothing. See
//! <https://discord.com/developers/docs/resources/message#create-message>.

use serde_json::Value;
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::StickerMarker;

use super::super::error::{Error, FormErrors};
use super::super::form::Field;
use super::super::token::Caller;
use super::super::world::{Place, World};
use super::mentions::{Allowed, Mentions};
use super::nonces::Nonce;
use super::polls::Poll;
use super::references::{Asked, Referred};
use super::{StickerItem, components, embeds};

/// Longest content, in characters.
const MAX_CONTENT: usize = 2000;
/// Most stickers in a message.
const MAX_STICKERS: usize = 3;
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
    pub(super) referred: Option<Referred>,
}

impl Draft {
    /// Reads the body of a message for this channel.
    ///
    /// # Errors
    ///
    /// When a field is bad; every bad one is in the tree. When a permission is missing that only
    /// some messages need.
    pub(super) fn read(
        form: &Field<'_>,
        place: &Place<'_>,
        caller: &Caller,
        world: &World,
    ) -> Result<Self, Error> {
        let mut errors = FormErrors::default();
        let content = form.key("content").text(MAX_CONTENT, &mut errors);
        let content = content.unwrap_or_default().trim().to_owned();
        let tts = form.key("tts").boolean(&mut errors);
        let flags = form.key("flags").integer(0..=i64::MAX, &mut errors);
        let flags = flags.unwrap_or(0) & (SENDABLE_FLAGS | IS_COMPONENTS_V2);
        let embeds = embeds::read(&form.key("embeds"), &mut errors);
        let is_v2 = flags & IS_COMPONENTS_V2 != 0;
        let components = components::read(&form.key("components"), is_v2, &mut errors);
        let stickers = read_stickers(&form.key("sticker_ids"), &mut errors);
        let poll = Poll::read(&form.key("poll"), &mut errors);
        let nonce = Nonce::read(&form.key("nonce"), &mut errors);
        let enforce_nonce = form.key("enforce_nonce").boolean(&mut errors);
        let allowed = Allowed::read(&form.key("allowed_mentions"), &mut errors);
        let asked = Asked::read(&form.key("message_reference"), &mut errors);
        if is_v2 {
            refuse_legacy_fields(form, &mut errors);
        }
        errors.finish()?;

        let referred = asked.map(|asked| asked.find(place, caller, world));
        let referred = referred.transpose()?.flatten();
        for (is_used, needed) in [
            (!embeds.is_empty(), Permissions::EMBED_LINKS),
            (poll.is_some(), Permissions::SEND_POLLS),
        ] {
            if is_used {
                place.require(needed)?;
            }
        }
        let replied = referred.as_ref().and_then(Referred::author);
        Ok(Self {
            mentions: allowed.resolve(&content, replied, place, world),
            content,
            // Without the permission the message is posted, but not spoken.
            tts: tts.unwrap_or(false) && place.permissions.contains(Permissions::SEND_TTS_MESSAGES),
            flags,
            embeds,
            components,
            stickers,
            poll,
            nonce,
            enforce_nonce: enforce_nonce.unwrap_or(false),
            referred,
        })
    }

    /// Tells whether there is nothing to post.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty()
            && self.embeds.is_empty()
            && self.components.is_empty()
            && self.stickers.is_empty()
            && self.poll.is_none()
            && !matches!(self.referred, Some(Referred::Forward { .. }))
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
