//! Connections that there is no place for: they are told so in their own framing, and closed.
//!
//! A connection that is open and silent is not closed to make room for another: its caller may be
//! sending a call at that moment and would not know what became of it, while one that is turned away
//! knows that nothing was done. That one peer takes all places is kept from it by its share of them.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{Accepted, Reception};
use crate::{
    metrics::Refusal,
    surface::{Full, TurnedAway},
};

/// Connections that may be told at once that there is no place for them; further ones are closed
/// without a word.
pub(super) const RESERVE: usize = 64;
/// How many of them may be one peer's.
pub(super) const RESERVE_PER_PEER: usize = 48;
/// How long such a connection has to make its call, and to read why it was refused.
const TIME: Duration = Duration::from_secs(1);

impl Reception {
    /// Gives a connection a place and serves it, or turns it away.
    pub(super) fn receive_one(&self, accepted: Accepted) {
        let (line, mut visitor) = accepted;
        match self.places.take(visitor.peer) {
            Ok(place) => {
                visitor.place = Some(place);
                let seat = visitor.seat.clone();
                let served = self.clone().serve_connection(line, Arc::new(visitor));
                seat.spawn(&self.tracker, served);
            }
            Err(full) => self.turn_away((line, visitor), full),
        }
    }

    /// Answers what it can say of itself, refuses every call, and closes the connection.
    fn turn_away(&self, accepted: Accepted, full: Full) {
        let (line, mut visitor) = accepted;
        let Ok(place) = self.reserve.take(visitor.peer) else {
            self.rpc.metrics().refuse(Refusal::Crowded);
            return;
        };
        let over = self.stop.child_token();
        visitor.place = Some(place);
        visitor.turned_away = Some(TurnedAway {
            full,
            over: over.clone(),
        });
        let reception = Self {
            first_byte_timeout: self.first_byte_timeout.min(TIME),
            stop: over.clone(),
            ..self.clone()
        };
        let seat = visitor.seat.clone();
        let served = async move {
            let mut served = pin!(reception.serve_connection(line, Arc::new(visitor)));
            if timeout(TIME, served.as_mut()).await.is_err() {
                over.cancel();
                let _ = timeout(TIME, served).await;
            }
        };
        seat.spawn(&self.tracker, served);
    }
}
