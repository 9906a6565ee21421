//! Users: the caller's own, its guilds, and how a user is written.
//!
//! See <https://discord.com/developers/docs/resources/user>.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use twilight_model::id::Id;
use twilight_model::id::marker::{GuildMarker, UserMarker};

use super::error::{Error, FormErrors};
use super::request::Parameters;
use super::token::Caller;
use super::world::World;

/// Most guilds in one answer, and how many there are when none is asked for.
const MAX_GUILDS: i64 = 200;

/// A bot's user, written as Discord's `UserResponse`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct User {
    id: Id<UserMarker>,
    name: String,
}

impl User {
    /// Makes the user.
    pub(super) fn new(id: Id<UserMarker>, name: String) -> Self {
        Self { id, name }
    }

    /// Gives its id.
    pub(super) fn id(&self) -> Id<UserMarker> {
        self.id
    }
}

impl Serialize for User {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Bots still have a discriminator of four digits; any but 0000 will do.
        let discriminator = format!("{:04}", self.id.get() % 9999 + 1);
        let mut user = serializer.serialize_struct("User", 13)?;
        user.serialize_field("id", &self.id)?;
        user.serialize_field("username", &self.name)?;
        user.serialize_field("avatar", &())?;
        user.serialize_field("discriminator", &discriminator)?;
        user.serialize_field("public_flags", &0)?;
        user.serialize_field("flags", &0)?;
        user.serialize_field("bot", &true)?;
        user.serialize_field("banner", &())?;
        user.serialize_field("accent_color", &())?;
        user.serialize_field("global_name", &())?;
        user.serialize_field("avatar_decoration_data", &())?;
        user.serialize_field("collectibles", &())?;
        user.serialize_field("primary_guild", &())?;
        user.end()
    }
}

/// What a user sees of itself, Discord's `UserPIIResponse`.
#[derive(Serialize)]
pub(super) struct CurrentUser {
    #[serde(flatten)]
    user: User,
    mfa_enabled: bool,
    locale: &'static str,
    premium_type: u8,
    email: Option<String>,
    verified: bool,
}

/// `GET /users/@me`
pub(super) async fn me(Caller(user): Caller) -> Json<CurrentUser> {
    Json(CurrentUser {
        user,
        mfa_enabled: true,
        locale: "en-US",
        premium_type: 0,
        email: None,
        verified: true,
    })
}

/// `GET /users/@me/guilds`
pub(super) async fn guilds(
    State(world): State<Arc<World>>,
    caller: Caller,
    query: Parameters,
) -> Result<Json<Vec<Value>>, Error> {
    let form = query.form();
    let mut errors = FormErrors::default();
    let limit = form.key("limit").integer(1..=MAX_GUILDS, &mut errors);
    let before: Option<Id<GuildMarker>> = form.key("before").snowflake(&mut errors);
    let after: Option<Id<GuildMarker>> = form.key("after").snowflake(&mut errors);
    let with_counts = matches!(form.key("with_counts").value(), Some(text) if text == "true");
    errors.finish()?;

    let limit = usize::try_from(limit.unwrap_or(MAX_GUILDS)).unwrap_or(usize::MAX);
    let guilds = world.guilds_of(&caller);
    let mut page: Vec<_> = guilds
        .filter(|(guild, _)| before.is_none_or(|before| guild.id < before))
        .filter(|(guild, _)| after.is_none_or(|after| guild.id > after))
        .collect();
    // Ids rise, so the guilds next to `before` are the last ones.
    if before.is_some() && after.is_none() {
        page.drain(..page.len().saturating_sub(limit));
    }
    page.truncate(limit);
    let partial = page.into_iter().map(|(guild, member)| {
        let mut partial = json!({
            "id": guild.id,
            "name": guild.name,
            "icon": null,
            "banner": null,
            "owner": guild.owner_id == member.id,
            "permissions": guild.permissions(&member).bits().to_string(),
            "features": [],
        });
        if with_counts {
            partial["approximate_member_count"] = json!(guild.members.len());
            partial["approximate_presence_count"] = json!(guild.members.len());
        }
        partial
    });
    Ok(Json(partial.collect()))
}
