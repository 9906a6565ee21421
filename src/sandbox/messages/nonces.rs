//! The nonces of the last minutes, by which a repeated message is known.
//!
//! Discord: "checked for uniqueness in the past few minutes. If another message was created by
//! the same author with the same nonce, that message will be returned and no new message will be
//! created" (<https://discord.com/developers/docs/resources/message#create-message>).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use twilight_model::id::Id;
use twilight_model::id::marker::UserMarker;

use super::super::error::FormErrors;
use super::super::form::Field;
use super::Message;

/// How long a nonce is known: "the past few minutes" of the documentation, taken as five.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Most nonces known at once; the oldest is forgotten first.
const MAX_NONCES: usize = 1 << 15;
/// Longest nonce that is a text, in characters.
const MAX_CHARACTERS: usize = 25;

/// A message's nonce, written as it was sent.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Nonce {
    /// A number of 64 bits.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Nonce {
    /// Reads a nonce.
    pub(super) fn read(field: &Field<'_>, errors: &mut FormErrors) -> Option<Self> {
        match field.value()? {
            Value::Number(number) if number.is_i64() => number.as_i64().map(Self::Integer),
            Value::String(text) if text.chars().count() <= MAX_CHARACTERS => {
                Some(Self::Text(text.clone()))
            }
            Value::String(_) => {
                let message = format!("Must be {MAX_CHARACTERS} or fewer characters long.");
                field.refuse("NONCE_TYPE_TOO_LONG", &message, errors);
                None
            }
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_) => {
                let message = "This field must be a string or integer.";
                field.refuse("NONCE_TYPE_INVALID_TYPE", message, errors);
                None
            }
        }
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

/// An author and the text of a nonce. The channel is no part of it.
pub(super) type Key = (Id<UserMarker>, String);

/// The messages of the last minutes that had a nonce.
pub(in crate::sandbox) struct Nonces<M = Message> {
    order: VecDeque<(Instant, Key)>,
    messages: HashMap<Key, Arc<M>>,
}

impl<M> Default for Nonces<M> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            messages: HashMap::new(),
        }
    }
}

impl<M> Nonces<M> {
    /// Finds the first message of this author with this nonce.
    pub(super) fn find(&mut self, key: &Key, now: Instant) -> Option<Arc<M>> {
        self.forget(now);
        self.messages.get(key).cloned()
    }

    /// Keeps a message, unless one with its nonce is known already.
    pub(super) fn remember(&mut self, key: Key, message: &Arc<M>, now: Instant) {
        if self.messages.contains_key(&key) {
            return;
        }
        self.messages.insert(key.clone(), Arc::clone(message));
        self.order.push_back((now, key));
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front() {
            if now.duration_since(*at) < WINDOW && self.order.len() <= MAX_NONCES {
                return;
            }
            self.messages.remove(key);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(nonce: usize) -> Key {
        (Id::new(1), nonce.to_string())
    }

    #[test]
    fn nonce_is_known_for_the_window_and_no_longer() {
        let mut nonces = Nonces::default();
        let start = Instant::now();
        nonces.remember(key(1), &Arc::new("first"), start);
        nonces.remember(key(1), &Arc::new("second"), start);
        let last = start + (WINDOW / 1000) * 999;
        assert_eq!(*nonces.find(&key(1), last).unwrap(), "first");
        assert_eq!(nonces.find(&key(1), start + WINDOW), None);
        assert!(nonces.order.is_empty() && nonces.messages.is_empty());
    }

    #[test]
    fn oldest_nonce_is_forgotten_when_there_are_too_many() {
        let mut nonces = Nonces::default();
        let now = Instant::now();
        for nonce in 0..=MAX_NONCES {
            nonces.remember(key(nonce), &Arc::new(nonce), now);
        }
        assert_eq!(nonces.messages.len(), MAX_NONCES);
        assert_eq!(nonces.find(&key(0), now), None);
        assert!(nonces.find(&key(1), now).is_some());
    }
}
