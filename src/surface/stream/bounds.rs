//! How long a connection may keep the daemon waiting, and how much it may make it hold.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{Connection, FIRST_READ_BYTES, Input};
use crate::{
    frame::Framing,
    memory::Full,
    metrics::Refusal,
    operation::{Error, Limit},
    surface::{
        MAX_SEATED_BYTES,
        answer::{error, parse_error},
    },
};

/// Most calls that a connection may have under way inside.
const MAX_SEATED_CALLS: usize = 8;

impl<S: AsyncRead + AsyncWrite, F: Framing> Connection<S, F> {
    /// How much is held of what is not finished and what is not read. The calls under way keep their
    /// own.
    pub(super) fn held_bytes(&self) -> usize {
        self.framing.held() + self.unsent.held()
    }

    /// Counts what is held, and gives way if that is too much.
    ///
    /// # Errors
    ///
    /// As [`Self::give_way`].
    pub(super) fn count(&mut self) -> io::Result<()> {
        let grown = self.hold.grow(self.held_bytes());
        grown.or_else(|full| self.give_way(full))
    }

    /// Forgets what is not finished, since others need the memory, and says so. The calls under way
    /// are answered.
    ///
    /// # Errors
    ///
    /// When the peer does not read, so that nothing can be said.
    pub(super) fn give_way(&mut self, full: Full) -> io::Result<()> {
        self.rpc.metrics().refuse(Refusal::Memory);
        if self.has_to_send() {
            return Err(io::Error::other("a peer that does not read holds too much"));
        }
        self.framing.clear();
        self.text_began = None;
        self.input = Input::Done;
        let limit = full.limit;
        self.queue(Some(error(&Error::Limited(Limit::Memory { limit }))));
        Ok(())
    }

    /// Goes inside with a few calls and nothing behind them, and out to the porch with many, or with
    /// more than they need.
    pub(super) async fn take_seat(&mut self) {
        let seat = &self.caller.visitor.seat;
        if self.under_way.len() > MAX_SEATED_CALLS || self.held_bytes() > MAX_SEATED_BYTES {
            seat.go_out().await;
        } else if !self.under_way.is_empty() && self.read_bytes == FIRST_READ_BYTES {
            seat.go_in().await;
        }
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
