//! A bot's token: held for one call, never shown.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

/// Longest token accepted, in bytes. Discord's own are about 72 long.
pub(super) const MAX_TOKEN_BYTES: usize = 512;

/// A bot's token, as it goes behind `Bot ` in an Authorization header.
///
/// Its memory is cleared when it is dropped, and its `Debug` is a word.
#[derive(Clone)]
pub struct Token(SecretString);

/// Why a text is not taken for a bot's token. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// A user's or an application's token, which a bot has no use for.
    #[error("a bot token is wanted, not a Bearer token")]
    Bearer,
    /// White space, control characters or anything outside ASCII.
    #[error("a bot token is made of visible ASCII characters only")]
    Characters,
    /// Nothing at all.
    #[error("a bot token is wanted, not an empty text")]
    Empty,
    /// A header of another scheme than `Bot`.
    #[error("the header Authorization has the form `Bot <token>`")]
    Scheme,
    /// Longer than 512 bytes.
    #[error("a bot token has at most {MAX_TOKEN_BYTES} characters")]
    TooLong,
}

impl Token {
    /// Takes a text for a token; a leading `Bot ` is removed.
    ///
    /// # Errors
    ///
    /// When no bot's token can look like this.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.strip_prefix("Bot ").unwrap_or(text);
        if text == "Bearer" || text.starts_with("Bearer ") {
            return Err(InvalidToken::Bearer);
        }
        if text.is_empty() {
            return Err(InvalidToken::Empty);
        }
        if text.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken::Characters);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Takes the token from the value of an `Authorization` header, whose scheme may be in any
    /// case.
    ///
    /// # Errors
    ///
    /// When the scheme is not `Bot`, or no bot's token can look like this.
    pub fn from_header(value: &[u8]) -> Result<Self, InvalidToken> {
        let value = std::str::from_utf8(value).map_err(|_| InvalidToken::Characters)?;
        match value.trim().split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bot") => {
                Self::parse(token.trim_start())
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("Bearer") => Err(InvalidToken::Bearer),
            Some(_) | None => Err(InvalidToken::Scheme),
        }
    }

    /// The id of the bot's user, which is the first of a token's three parts and no secret: the bot
    /// shows it to everybody. None of a text that is no token of Discord's.
    /// See <https://discord.com/developers/docs/reference#authentication>.
    #[must_use]
    pub fn user_id(&self) -> Option<u64> {
        let mut parts = self.expose().split('.');
        let [first, _, _] = [parts.next()?, parts.next()?, parts.next()?];
        // As many digits as the largest snowflake has, and nothing else.
        let mut digits = [0; 20];
        let length = URL_SAFE_NO_PAD.decode_slice(first, &mut digits).ok()?;
        let digits = digits.get(..length)?;
        let is_id = digits.iter().all(u8::is_ascii_digit);
        let id = str::from_utf8(digits).ok().filter(|_| is_id)?;
        id.parse().ok()
    }

    /// The token itself, for the one header that carries it.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_bot_is_removed() {
        assert_eq!(Token::parse("Bot abc").unwrap().expose(), "abc");
        assert_eq!(Token::parse("abc").unwrap().expose(), "abc");
    }

    #[test]
    fn what_no_bot_token_looks_like_is_refused() {
        let refused = |text: &str| Token::parse(text).unwrap_err();
        assert_eq!(refused(""), InvalidToken::Empty);
        assert_eq!(refused("Bot "), InvalidToken::Empty);
        assert_eq!(refused("Bearer abc"), InvalidToken::Bearer);
        assert_eq!(refused("Bot Bearer abc"), InvalidToken::Bearer);
        assert_eq!(refused("a b"), InvalidToken::Characters);
        assert_eq!(refused("a\r\nX-Header: b"), InvalidToken::Characters);
        assert_eq!(refused("tökén"), InvalidToken::Characters);
        assert_eq!(refused(&"a".repeat(513)), InvalidToken::TooLong);
        assert!(Token::parse(&"a".repeat(512)).is_ok());
    }

    #[test]
    fn a_header_has_its_scheme_in_any_case() {
        for value in ["Bot abc", "bot abc", "BOT  abc "] {
            assert_eq!(
                Token::from_header(value.as_bytes()).unwrap().expose(),
                "abc"
            );
        }
        for (value, expected) in [
            ("Bearer abc", InvalidToken::Bearer),
            ("Basic abc", InvalidToken::Scheme),
            ("abc", InvalidToken::Scheme),
            ("Bot a b", InvalidToken::Characters),
        ] {
            let refused = Token::from_header(value.as_bytes()).unwrap_err();
            assert_eq!(refused, expected, "{value}");
        }
    }

    #[test]
    fn a_bots_user_id_is_read_from_the_first_part() {
        let id = |text: &str| Token::parse(text).unwrap().user_id();
        let first = "MTE4NDAyOTMwMTI4NDkyMTM0NA";
        assert_eq!(id(&format!("{first}.x.y")), Some(1_184_029_301_284_921_344));
        for no_token in [
            first.to_owned(),
            format!("{first}.x"),
            format!("x{first}.x.y"),
            // A text that is no number, and numbers that are too large.
            "aGVsbG8gd29ybGQ.x.y".to_owned(),
            "OTk5OTk5OTk5OTk5OTk5OTk5OTk.x.y".to_owned(),
            "MTE4NDAyOTMwMTI4NDkyMTM0NDExODQwMjkzMDEyODQ5MjEzNDQ.x.y".to_owned(),
            "..".to_owned(),
        ] {
            assert_eq!(id(&no_token), None, "{no_token}");
        }
    }

    #[test]
    fn debug_is_a_word() {
        assert_eq!(format!("{:?}", Token::parse("abc").unwrap()), "Token");
    }
}
