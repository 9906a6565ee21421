//! The nonce of a message: what makes a repeat of it the same message.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use super::{Error, check_chars};

/// Longest nonce that Discord takes, in characters.
/// See <https://discord.com/developers/docs/resources/message#create-message>.
const MAX_CHARS: usize = 25;

/// A caller's idempotency key.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::operation) enum Nonce {
    /// A number, sent as one.
    Number(i64),
    /// A text of at most 25 characters.
    Text(#[schemars(length(min = 1, max = 25))] String),
}

impl Nonce {
    /// Makes one that the bot has not used in the few minutes that Discord remembers it.
    pub(in crate::operation) fn random() -> Self {
        let number = getrandom::u64().expect("the kernel has randomness once the system is up");
        Self::Text(format!("{number:016x}"))
    }

    /// Refuses what Discord would.
    pub(in crate::operation) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Number(_) => Ok(()),
            Self::Text(text) if text.is_empty() => Err(Error::Param {
                path: "nonce".to_owned(),
                wanted: "a text of 1 to 25 characters".to_owned(),
            }),
            Self::Text(text) => check_chars("nonce", Some(text), MAX_CHARS).map(drop),
        }
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Nonce;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text of at most 25 characters or an integer of 64 bits")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Nonce, E> {
                Ok(Nonce::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Nonce, E> {
                let unexpected = de::Unexpected::Unsigned(number);
                let number = i64::try_from(number);
                number
                    .map(Nonce::Number)
                    .map_err(|_| E::invalid_value(unexpected, &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Nonce, E> {
                Ok(Nonce::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}
