//! Parts of the bodies that Discord takes: ids, embeds, polls, mentions, nonces.
//!
//! twilight-model's own types are used where they take what Discord takes. Its `Embed` wants a
//! `type`, its `Poll` an expiry, its flags drop bits they do not know, and none of them refuses a
//! misspelled field; those are written here, after Discord's API description.

mod embed;
mod nonce;
mod object;
mod poll;
mod reference;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

pub(super) use self::{
    embed::{Embed, check_embeds},
    nonce::Nonce,
    object::Object,
    poll::Poll,
    reference::{AllowedMentions, MessageReference},
};
use super::error::Error;

/// An id of Discord's as callers write it: in decimal, as a string or a number.
/// See <https://discord.com/developers/docs/reference#snowflakes>.
pub(super) struct Snowflake;

impl JsonSchema for Snowflake {
    fn schema_name() -> Cow<'static, str> {
        "Snowflake".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "pattern": "^[0-9]{1,20}$"})
    }
}

/// Refuses a text longer than Discord takes.
pub(super) fn check_chars(path: &str, text: Option<&str>, max: usize) -> Result<usize, Error> {
    let chars = text.map_or(0, |text| text.chars().count());
    if chars <= max {
        return Ok(chars);
    }
    Err(Error::Param {
        path: path.to_owned(),
        wanted: format!("at most {max} characters, not {chars}"),
    })
}

/// Refuses a list longer than Discord takes.
pub(super) fn check_count(path: &str, count: usize, max: usize) -> Result<(), Error> {
    if count <= max {
        return Ok(());
    }
    Err(Error::Param {
        path: path.to_owned(),
        wanted: format!("a list of at most {max}, not {count}"),
    })
}
