//! The memory that a call has while it is under way, as its answer tells of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    memory::{Full, Kept},
    operation::Limit,
};

/// The memory of a document and its answers.
pub(super) struct Room {
    kept: Kept,
    /// Set when there is none: no call begins any more.
    full: Option<Limit>,
}

impl Room {
    /// The room of a document that is kept.
    pub(super) fn of(kept: Kept) -> Self {
        Self { kept, full: None }
    }

    /// Asks for room, for a document or an answer.
    pub(super) fn take(&mut self, bytes: usize) {
        if let Err(full) = self.kept.grow(bytes) {
            self.full = Some(long_calls(full));
        }
    }

    /// Which limit keeps a call from beginning.
    pub(super) fn full(&self) -> Option<Limit> {
        self.full
    }

    /// Locks, and goes on after a panic elsewhere: it is only counted here.
    pub(super) fn lock(room: &Mutex<Self>) -> MutexGuard<'_, Self> {
        room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that there is no room for one more call that is long.
pub(super) fn long_calls(full: Full) -> Limit {
    let limit = full.limit / 2;
    Limit::LongCalls { limit }
}
