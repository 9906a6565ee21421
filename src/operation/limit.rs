//! The limits that hold back everybody or one peer, as a caller is told of them.

use crate::metrics::Refusal;

/// A limit that is reached.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum Limit {
    /// As many calls are under way as the settings allow.
    #[error("the daemon has {limit} calls under way, as many as it is set to take")]
    Calls {
        /// How many that is.
        limit: usize,
    },
    /// The peer has as many calls under way as the settings allow one.
    #[error("this peer has {limit} calls under way, as many as one may have")]
    CallsOfPeer {
        /// How many that is.
        limit: usize,
    },
    /// As many connections are open as the settings allow.
    #[error("the daemon has {limit} connections, as many as it is set to take: this one is closed")]
    Connections {
        /// How many that is.
        limit: usize,
    },
    /// The peer has as many connections as the settings allow one.
    #[error("this peer has {limit} connections, as many as one may have: this one is closed")]
    ConnectionsOfPeer {
        /// How many that is.
        limit: usize,
    },
    /// Calls under way hold as much as the settings allow.
    #[error("long calls under way hold {limit} bytes, as much as they may")]
    LongCalls {
        /// How many bytes that is.
        limit: usize,
    },
    /// Connections hold as much as the settings allow, and this one the most.
    #[error(
        "unfinished calls and unread answers fill {limit} bytes, and this connection has the most \
         of them: it is closed"
    )]
    Memory {
        /// How many bytes that is.
        limit: usize,
    },
}

impl Limit {
    /// What it is counted as.
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Calls { .. } => Refusal::Busy,
            Self::CallsOfPeer { .. } => Refusal::PeerBusy,
            Self::Connections { .. } => Refusal::Crowded,
            Self::ConnectionsOfPeer { .. } => Refusal::PeerCrowded,
            Self::LongCalls { .. } | Self::Memory { .. } => Refusal::Memory,
        }
    }
}
