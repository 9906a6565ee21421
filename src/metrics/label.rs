//! Labels: each has a fixed set of values, so that no caller makes the figures grow.

use std::{
    fmt,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

use clap::ValueEnum;
use serde::Serialize;

/// A label; clap's derive lists its values, and serde's names them.
pub(super) trait Label: Copy + Serialize + ValueEnum {
    /// What the label is called.
    const KEY: &'static str;

    /// Its place among the values.
    fn index(self) -> usize;

    /// What the value is called.
    fn name(self) -> String {
        struct Name<L>(L);
        impl<L: Label> fmt::Display for Name<L> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.serialize(f)
            }
        }
        Name(self).to_string()
    }
}

/// Why somebody was turned away by the daemon itself, before anything was asked of Discord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A batch has more calls than the settings take.
    Batch,
    /// The answers before it in its batch fill the room there is.
    BatchFull,
    /// As many calls are under way as the settings take.
    Busy,
    /// A caller showed no certificate that the door takes.
    Certificate,
    /// The door is not for the channel.
    Channel,
    /// A body is not of the type that is wanted.
    ContentType,
    /// As many connections are open as the settings take; some are closed without a word.
    Crowded,
    /// The connection ended within a body.
    Cut,
    /// The door is not for callers of the group.
    Gid,
    /// The door is not for the guild.
    Guild,
    /// A handshake of TLS failed for any other reason.
    Handshake,
    /// A request names a host that is not taken.
    Host,
    /// A text is JSON and no call.
    InvalidRequest,
    /// A first byte, a handshake, a body or the rest of a text did not come in time.
    Late,
    /// The method may not be called at the door.
    Method,
    /// Connections hold as much unfinished input and unread answers as the settings take.
    Memory,
    /// The first byte begins nothing that is spoken here.
    Nonsense,
    /// A request comes from a web page that is not taken.
    Origin,
    /// A text is not JSON.
    ParseError,
    /// A peer has as many calls under way as the settings give one.
    PeerBusy,
    /// A peer has as many connections as the settings give one.
    PeerCrowded,
    /// Nothing may be changed through the door.
    ReadOnly,
    /// The secret of the door was not shown, or another.
    Secret,
    /// The daemon is stopping.
    Stopping,
    /// A caller speaks without TLS where TLS is wanted.
    Tls,
    /// A body or a text is longer than the settings take.
    TooLarge,
    /// The door is not for the user.
    Uid,
    /// Nothing of an answer was read in time.
    Unread,
}

impl Label for Refusal {
    const KEY: &'static str = "reason";

    fn index(self) -> usize {
        self as usize
    }
}

/// What came of a call: `data.kind` of its error, or that it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Discord's answer cannot be read.
    BadAnswer,
    /// The caller may not ask for it at its door.
    Denied,
    /// Somebody may not do what was asked for.
    Forbidden,
    /// A bug.
    Internal,
    /// A param is missing, unknown or not what it should be.
    InvalidParams,
    /// Discord does not know the token.
    InvalidToken,
    /// There is no such method.
    MethodNotFound,
    /// The nonce was used for another message.
    NonceReused,
    /// There is no such channel, guild or message.
    NotFound,
    /// It was done.
    Ok,
    /// Discord, or the guard, limits.
    RateLimited,
    /// Discord refused the body.
    Rejected,
    /// The call's time was over.
    TimedOut,
    /// It is larger than Discord takes.
    TooLarge,
    /// There is no way to Discord, or the daemon takes no call, or nobody waits for it.
    Unavailable,
}

impl Label for Outcome {
    const KEY: &'static str = "outcome";

    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How a connection, or a call on it, is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// HTTP/1.1; of a call: JSON-RPC in it.
    Http,
    /// Raw JSON texts.
    Lines,
    /// MCP, over HTTP or on standard input; of calls only.
    Mcp,
    /// Nothing yet, or nothing that is known here.
    None,
    /// The REST API of the service this replaces; of calls only.
    Rest,
    /// WebSocket.
    Websocket,
}

impl Framing {
    /// What a connection may speak, as far as it is told apart there.
    pub(super) const OF_CONNECTIONS: [Self; 4] =
        [Self::Http, Self::Lines, Self::None, Self::Websocket];
}

impl Label for Framing {
    const KEY: &'static str = "framing";

    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub(super) struct Counts<L> {
    counts: Box<[AtomicU64]>,
    label: PhantomData<L>,
}

impl<L: Label> Default for Counts<L> {
    fn default() -> Self {
        let counts = L::value_variants().iter().map(|_| AtomicU64::new(0));
        Self {
            counts: counts.collect(),
            label: PhantomData,
        }
    }
}

impl<L: Label> Counts<L> {
    pub(super) fn add(&self, label: L, count: u64) {
        self.counts[label.index()].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, label: L, count: u64) {
        self.counts[label.index()].fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self, label: L) -> u64 {
        self.counts[label.index()].load(Ordering::Relaxed)
    }

    /// Every value with its count.
    pub(super) fn all(&self) -> impl Iterator<Item = (L, u64)> {
        L::value_variants().iter().map(|it| (*it, self.get(*it)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_counter_of_its_own() {
        let counts = Counts::<Refusal>::default();
        for (count, value) in (1..).zip(Refusal::value_variants()) {
            counts.add(*value, count);
        }
        assert!(
            counts
                .all()
                .map(|(_, count)| count)
                .eq(1..=counts.counts.len() as u64)
        );
    }
}
