//! How calls come and how they are spelled: raw JSON texts, HTTP and WebSocket, all of them
//! speaking JSON-RPC; MCP, over HTTP and on standard input; and REST.
//!
//! It must not talk to Discord: it reads a call, hands it to the table, and writes the answer.

mod admit;
mod alarm;
mod answer;
mod body;
mod document;
mod goodbye;
mod headers;
pub mod http;
mod leftover;
pub mod lines;
pub mod mcp;
mod meter;
mod onward;
pub mod openrpc;
mod pages;
mod registry;
mod rest;
mod room;
mod rpc;
mod seen;
mod shares;
pub mod stream;
mod traceparent;
mod web;
mod websocket;

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use axum::http::HeaderName;
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;

pub use self::{
    goodbye::close,
    rpc::Rpc,
    shares::{Full, Place, Shares},
    traceparent::Traceparent,
    web::Web,
};
use crate::{
    config::Live,
    discord::{InvalidToken, Peer, Token},
    metrics::{Connection, Framing},
    operation::{Effect, Error, Limit, Rights, Secret, User},
    threads::Seat,
};

/// The header that carries the secret of a door.
pub const SECRET: HeaderName = HeaderName::from_static("discordd-secret");

/// How often it is looked whether a peer that waits for an answer is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What a connection may hold of unfinished input or unread answers, in bytes, before it has to go to
/// the porch: more than nearly every call and answer has.
const MAX_SEATED_BYTES: usize = 16 << 10;

/// Tells whether the other end of a connection is gone for good, and not only done with writing.
pub struct Gone(Box<dyn Fn() -> bool + Send + Sync>);

/// Where a connection came in, as far as browsers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// A port that only this machine reaches, and so a page in a browser on it.
    Loopback {
        /// The port.
        port: u16,
    },
    /// Any other port.
    Network,
    /// A Unix socket, or none at all.
    Unix,
}

/// Who is at the other end of a connection.
pub struct Visitor {
    /// Where it came in.
    pub entrance: Entrance,
    /// Who it is, as far as shares go.
    pub peer: Peer,
    /// Whether it is still there.
    pub gone: Gone,
    /// The connection as it is counted; none if there is none.
    pub connection: Option<Connection>,
    /// The user it belongs to, where the kernel tells.
    pub user: Option<User>,
    /// What may be asked for at the door it came through.
    pub rights: Live<Rights>,
    /// On which thread it is served.
    pub seat: Seat,
    /// The place that its connection takes among all connections.
    pub place: Option<Place>,
    /// Set if there is no place for it among them.
    pub turned_away: Option<TurnedAway>,
}

/// Of a connection that there is no place for: its calls are refused, and it is closed.
pub struct TurnedAway {
    /// Which limit is reached.
    pub full: Full,
    /// Cancelled when it knows.
    pub over: CancellationToken,
}

/// Who asks, as far as the connection or the request tells.
#[derive(Clone)]
pub struct Caller {
    /// Who is at the other end.
    pub visitor: Arc<Visitor>,
    /// How its calls are spelled.
    pub framing: Framing,
    /// The trace that the call belongs to, if the request says so.
    pub traceparent: Option<Traceparent>,
    /// What is under way on the connection.
    calls: Arc<Calls>,
    /// The token of the request's `Authorization` header, for calls that bring none of their own.
    pub token: Option<Result<Token, InvalidToken>>,
    /// The secret that was shown, right or wrong.
    pub secret: Option<Secret>,
}

/// What is under way on a connection.
struct Calls {
    /// How many more calls may be, those of batches counted one by one.
    places: Semaphore,
    /// Answers in batches that are not answered whole yet, in bytes.
    held_bytes: AtomicUsize,
}

impl Gone {
    /// Asks `probe` whenever it is looked.
    #[must_use]
    pub fn new(probe: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(probe))
    }

    /// Waits until the other end is gone.
    async fn wait(&self) {
        loop {
            sleep(LOOK).await;
            if (self.0)() {
                return;
            }
        }
    }
}

impl Visitor {
    /// Takes note of what its connection turned out to speak.
    pub fn speaks(&self, framing: Framing) {
        if let Some(connection) = &self.connection {
            connection.speak(framing);
        }
    }

    /// Takes note that TLS was set up on its connection.
    pub fn begins_tls(&self) {
        if let Some(connection) = &self.connection {
            connection.begin_tls();
        }
    }

    /// This process itself, which is there as long as it asks.
    #[must_use]
    pub fn own() -> Self {
        Self {
            entrance: Entrance::Unix,
            peer: Peer::Own,
            gone: Gone::new(|| false),
            connection: None,
            user: None,
            rights: Live::new(Rights::default()),
            seat: Seat::fixed(),
            place: None,
            turned_away: None,
        }
    }

    /// Refuses a call on a connection that there is no place for.
    fn admit(&self, effect: Effect) -> Result<(), Error> {
        match &self.turned_away {
            Some(turned_away) if effect != Effect::Local => {
                turned_away.over.cancel();
                Err(turned_away.error())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl TurnedAway {
    fn error(&self) -> Error {
        Error::Limited(match self.full {
            Full::All { limit } => Limit::Connections { limit },
            Full::Peer { limit } => Limit::ConnectionsOfPeer { limit },
        })
    }
}

impl Caller {
    /// Somebody on a connection that may have `calls` under way.
    #[must_use]
    pub fn new(
        visitor: impl Into<Arc<Visitor>>,
        framing: Framing,
        calls: usize,
        token: Option<Result<Token, InvalidToken>>,
    ) -> Self {
        Self {
            visitor: visitor.into(),
            framing,
            traceparent: None,
            calls: Arc::new(Calls {
                places: Semaphore::new(calls),
                held_bytes: AtomicUsize::new(0),
            }),
            token,
            secret: None,
        }
    }
}
