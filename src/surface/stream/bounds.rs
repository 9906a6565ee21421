//! How long a connection may keep the daemon waiting, and how much it may make it hold.

use std::{io, sync::atomic::Ordering};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{Connection, Input};
use crate::{
    frame::Framing,
    memory::Full,
    metrics::Refusal,
    operation::{Error, Limit},
    surface::document::{error, parse_error},
};

/// How much a connection may hold without being counted, in bytes.
const FREE_BYTES: usize = 4 << 10;

impl<S: AsyncRead + AsyncWrite, F: Framing> Connection<S, F> {
    /// How much is held while the connection waits. A few texts that are short are not counted, nor
    /// is what every connection has.
    pub(super) fn held_bytes(&mut self) -> usize {
        // What is written is given back only with the last of it.
        self.unsent_room = self.unsent_room.max(self.unsent.capacity());
        let unfinished = if self.framing.in_text() {
            self.framing.held()
        } else {
            0
        };
        let in_batches = self.caller.held_bytes.load(Ordering::Relaxed);
        let held = unfinished + self.asked_bytes + self.unsent_room + in_batches;
        if held > FREE_BYTES { held } else { 0 }
    }

    /// Says that others need the memory, if it can be said, and closes.
    pub(super) async fn give_way(&mut self, full: Full) -> io::Result<()> {
        self.rpc.metrics().refuse(Refusal::Memory);
        tracing::debug!("a connection holds too much");
        self.under_way.clear();
        self.framing.clear();
        self.input = Input::Done;
        let is_cut = self.has_to_send();
        self.unsent = BytesMut::new();
        if is_cut {
            // A peer that does not read.
            return Ok(());
        }
        let limit = full.limit;
        self.queue(Some(error(&Error::Limited(Limit::Memory { limit }))));
        self.say_goodbye().await
    }

    /// Whether another call may begin.
    pub(super) fn has_room(&self) -> bool {
        let limits = &self.rpc.shared.limits;
        self.under_way.len() < limits.calls_per_connection
            && self.asked_bytes < limits.request_bytes.bytes()
            && self.has_room_for_answers()
    }

    /// Whether another answer may be put behind those that wait to be read.
    pub(super) fn has_room_for_answers(&self) -> bool {
        self.unsent.len() < self.rpc.shared.limits.response_bytes.bytes()
    }

    /// When the clock must be looked at.
    pub(super) fn deadline(&self) -> Instant {
        let limits = &self.rpc.shared.limits;
        let idle = self.last_progress + limits.idle_timeout;
        let text = self.text_began.map(|began| began + limits.body_timeout);
        let write = self.unread_since.map(|since| since + limits.write_timeout);
        [text, write].into_iter().flatten().fold(idle, Instant::min)
    }

    /// Looks at the clock. A text that does not end is given up, and so is a peer that does not read;
    /// a silent connection is too, but not while calls are under way: those have a time of their own.
    pub(super) fn is_idle_too_long(&mut self) -> bool {
        let (now, limits) = (Instant::now(), &self.rpc.shared.limits);
        let write = self.unread_since.map(|since| since + limits.write_timeout);
        if write.is_some_and(|write| now >= write) {
            self.rpc.metrics().refuse(Refusal::Unread);
            tracing::debug!(bytes = self.unsent.len(), "a peer does not read");
            return true;
        }
        if now >= self.last_progress + limits.idle_timeout {
            if self.under_way.is_empty() {
                return true;
            }
            self.last_progress = now;
        }
        let text = self.text_began.map(|began| began + limits.body_timeout);
        if text.is_some_and(|text| now >= text) && self.has_room() {
            let why = "the rest of the JSON text did not come in time";
            self.rpc.metrics().refuse(Refusal::Late);
            self.queue(Some(parse_error(why)));
            self.input = Input::Done;
            self.text_began = None;
        } else if text.is_some_and(|text| now >= text) {
            // It is the daemon that does not read on.
            self.text_began = Some(now);
        }
        false
    }
}
