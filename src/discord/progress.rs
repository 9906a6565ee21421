//! What a call tells while it is under way: that it waits, and for how long.
//!
//! It must not hold a call up: where nobody listens, nothing is said.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Where a call tells that it waits. By default nobody listens.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<UnboundedSender<Wait>>);

/// A pause that a call makes before it goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long it is.
    pub duration: Duration,
}

impl Progress {
    /// Makes one with somebody who listens.
    #[must_use]
    pub fn heard() -> (Self, UnboundedReceiver<Wait>) {
        let (sender, receiver) = unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Tells that the call waits, and for how long.
    pub fn tell(&self, wait: Wait) {
        if let Some(sender) = &self.0 {
            // Who no longer listens has no use for it.
            let _ = sender.send(wait);
        }
    }
}
