//! Bot tokens: makes them, finds the bot of one, and turns away who has none.
//!
//! A token is compared and forgotten: it is in no log line, no `Debug` and no error.

use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use twilight_model::id::Id;
use twilight_model::id::marker::UserMarker;

use super::error::Error;
use super::users::User;
use super::world::World;

/// Makes a token as Discord's look: the user id in base64, then 6 and 38 characters. The last
/// two are random, so that no start repeats another's.
///
/// # Errors
///
/// When the system gives no random bytes.
pub(super) fn mint(id: Id<UserMarker>) -> anyhow::Result<String> {
    let mut random = [0_u8; 33];
    getrandom::fill(&mut random).context("read random bytes")?;
    let random = URL_SAFE_NO_PAD.encode(random);
    let (made, secret) = (&random[..6], &random[6..44]);
    let user = URL_SAFE_NO_PAD.encode(id.to_string());
    Ok(format!("{user}.{made}.{secret}"))
}

/// Reads the user id out of a well-formed token: three parts, the first a snowflake's decimal
/// digits in base64.
fn user_id(token: &str) -> Option<Id<UserMarker>> {
    let parts: Vec<&str> = token.split('.').collect();
    let &[user, made, secret] = parts.as_slice() else {
        return None;
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_plain);
    if !is_part(made) || !is_part(secret) {
        return None;
    }
    let user = URL_SAFE_NO_PAD.decode(user.trim_end_matches('=')).ok()?;
    let user = std::str::from_utf8(&user).ok()?;
    if !user.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    user.parse().ok().and_then(Id::new_checked)
}

/// The bot whose token came with a request.
pub(super) struct Caller(pub(super) User);

impl Caller {
    /// Finds the bot whose token is in the headers of a request.
    pub(super) fn find(world: &World, headers: &HeaderMap) -> Option<Self> {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let token = header.strip_prefix("Bot ")?;
        Self::of(world, token.trim())
    }

    fn of(world: &World, token: &str) -> Option<Self> {
        let mut bots = world.bots().iter();
        let known = bots.find(|bot| bool::from(bot.token.as_bytes().ct_eq(token.as_bytes())));
        if let Some(bot) = known {
            return Some(Self(User::new(bot.id, bot.name.clone())));
        }
        let id = user_id(token).filter(|_| world.takes_any_token())?;
        world.user(id).map(Self)
    }
}

impl FromRequestParts<Arc<World>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, Error> {
        Self::find(world, &parts.headers).ok_or(Error::Unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_holds_its_user_id() {
        let id = Id::new(1_184_029_301_284_921_344);
        let token = mint(id).unwrap();
        assert_eq!(user_id(&token), Some(id));
        let lengths: Vec<usize> = token.split('.').map(str::len).collect();
        assert_eq!(lengths, [26, 6, 38]);
    }

    #[test]
    fn malformed_token_has_no_user() {
        for token in [
            "",
            "a.b",
            "MTIz.b.c.d",
            "MTIz..c",
            "eHl6.b.c",
            "MA.b.c",
            "MTIz.b c.d",
        ] {
            assert_eq!(user_id(token), None, "{token}");
        }
    }
}
