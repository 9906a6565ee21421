//! The doors: Unix sockets and TCP ports, and what is told apart at them.
//!
//! Doors are opened, or taken over from systemd, before the runtime has threads, because the mode of
//! a Unix socket is set by the umask of the whole process. It must not read JSON.

mod connection;
mod crowd;
mod descriptors;
mod inherited;
mod keys;
mod line;
mod open;
mod reload;
mod sniff;
mod tcp;
mod tls;
mod unix;
mod wire;

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::line::{Line, Stream};
pub use self::{
    descriptors::fit,
    keys::check,
    open::open,
    reload::{Keeper, Reload},
    tls::Terms,
    unix::{InUse, OpenSocket},
};
use crate::{
    config::{DoorSettings, Limits, Live},
    discord::Peer,
    metrics,
    operation::{Rights, User},
    surface::{
        Entrance, Rpc, Shares, Visitor, Web,
        http::{self, Pages},
    },
    threads::Threads,
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long the daemon, when it stops, waits for another connection that was already made.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);
/// How long it goes on with that if they keep coming.
const QUEUE_LIMIT: Duration = Duration::from_millis(100);
/// How long accepting pauses when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A door that is open and not yet served.
pub struct Door {
    /// Its place among the doors.
    pub number: usize,
    /// What the settings say of it.
    pub settings: DoorSettings,
    /// Where it is.
    pub socket: Socket,
    /// What callers there may.
    pub rights: Live<Rights>,
    /// Whether it was passed in, and stays when the daemon goes.
    pub inherited: bool,
    /// TLS as callers there speak it, if they do.
    pub tls: Option<Terms>,
}

/// What a door listens on.
#[derive(Debug)]
pub enum Socket {
    /// A TCP port.
    Tcp(std::net::TcpListener),
    /// A Unix socket, removed when this is dropped if it was opened here.
    Unix(OpenSocket),
}

/// What every connection is given.
#[derive(Clone)]
pub struct Reception {
    rpc: Arc<Rpc>,
    pages: Pages,
    first_byte_timeout: Duration,
    header_timeout: Duration,
    calls_per_connection: usize,
    places: Arc<Shares>,
    /// For connections that there is no place for, until they know it.
    reserve: Arc<Shares>,
    tracker: TaskTracker,
    close: CancellationToken,
    stop: CancellationToken,
    /// TLS as the callers of the door that is served speak it.
    tls: Option<Terms>,
}

/// A listener of either kind, and what every connection that it accepts is given.
struct Listener {
    kind: Kind,
    rights: Live<Rights>,
    figures: Arc<metrics::Door>,
    threads: Threads,
}

/// A connection that was accepted, and who is at its other end.
type Accepted = (Line, Visitor);

enum Kind {
    Tcp {
        listener: TcpListener,
        entrance: Entrance,
    },
    Unix {
        listener: UnixListener,
        door: usize,
    },
}

/// Why a connection was not accepted.
enum Unaccepted {
    /// It was over already.
    Gone(io::Error),
    /// The system has too little of something, such as descriptors.
    Shortage(io::Error),
}

impl Kind {
    fn tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self::Tcp {
            listener: TcpListener::from_std(listener)?,
            entrance: if address.ip().is_loopback() {
                let port = address.port();
                Entrance::Loopback { port }
            } else {
                Entrance::Network
            },
        })
    }
}

impl Listener {
    /// Accepts a connection, counts it at its door, and gives it a seat.
    async fn accept(&self) -> Result<Accepted, Unaccepted> {
        let (stream, peer, entrance, user) = match &self.kind {
            Kind::Tcp { listener, entrance } => {
                let accepted = listener.accept().await;
                let (stream, address) = accepted.map_err(Unaccepted::Shortage)?;
                stream.set_nodelay(true).map_err(Unaccepted::Gone)?;
                let peer = Peer::tcp(address.ip());
                (Stream::Tcp(stream), peer, *entrance, None)
            }
            Kind::Unix { listener, door } => {
                let accepted = listener.accept().await;
                let (stream, _) = accepted.map_err(Unaccepted::Shortage)?;
                let credentials = stream.peer_cred().map_err(Unaccepted::Gone)?;
                let (uid, gid) = (credentials.uid(), credentials.gid());
                let peer = Peer::Unix { door: *door, uid };
                let user = Some(User { uid, gid });
                (Stream::Unix(stream), peer, Entrance::Unix, user)
            }
        };
        let line = Line::new(stream);
        let seat = self.threads.seat(line.follow());
        let gone = line.gone();
        let visitor = Visitor {
            entrance,
            peer,
            gone,
            connection: Some(self.figures.accept()),
            user,
            rights: self.rights.clone(),
            seat,
            place: None,
            turned_away: None,
        };
        Ok((line, visitor))
    }
}

impl Door {
    /// What it is called in figures: never where it is.
    fn label(&self) -> &str {
        self.settings.name.as_deref().unwrap_or(match self.socket {
            Socket::Tcp(_) => "tcp",
            Socket::Unix(_) => "unix",
        })
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "tcp:{address}"),
                Err(_) => f.write_str("tcp"),
            },
            Self::Unix(socket) => write!(f, "unix:{}", socket.path().display()),
        }
    }
}

impl Reception {
    /// Prepares to receive callers until `close` is cancelled, and to serve them until `stop` is.
    #[must_use]
    pub fn new(
        rpc: Arc<Rpc>,
        web: Web,
        limits: &Limits,
        tracker: TaskTracker,
        (close, stop): (CancellationToken, CancellationToken),
    ) -> Self {
        Self {
            pages: http::pages(Arc::clone(&rpc), web, stop.clone()),
            rpc,
            first_byte_timeout: limits.first_byte_timeout,
            header_timeout: limits.header_timeout,
            calls_per_connection: limits.calls_per_connection,
            places: Shares::new(limits.connections, limits.connections_per_peer),
            reserve: Shares::new(crowd::RESERVE, crowd::RESERVE_PER_PEER),
            tracker,
            close,
            stop,
            tls: None,
        }
    }

    /// Serves a door until it is closed, its connections on `threads`; those that were made go on.
    ///
    /// # Errors
    ///
    /// When the door cannot be used by the runtime.
    pub async fn serve(mut self, door: Door, threads: Threads) -> io::Result<()> {
        self.tls = door.tls.clone();
        let figures = self.rpc.metrics().door(door.label());
        let (kind, file) = match door.socket {
            Socket::Tcp(listener) => (Kind::tcp(listener)?, None),
            Socket::Unix(socket) => {
                let listener = UnixListener::from_std(socket.listener()?)?;
                let door = door.number;
                (Kind::Unix { listener, door }, Some(socket))
            }
        };
        let listener = Listener {
            kind,
            rights: door.rights,
            figures,
            threads,
        };
        self.receive(&listener).await;
        // From here on nobody finds the way to it.
        drop(file);
        // Who waits at a door of systemd's waits for the next process.
        if !door.inherited {
            self.receive_queued(&listener).await;
        }
        Ok(())
    }

    /// Accepts until the daemon stops.
    async fn receive(&self, listener: &Listener) {
        let mut is_short = false;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.close.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    is_short = false;
                    self.receive_one(accepted);
                }
                Err(Unaccepted::Gone(err)) => {
                    tracing::debug!(%err, "a connection was over before it was looked at");
                }
                Err(Unaccepted::Shortage(err)) => {
                    if !is_short {
                        tracing::warn!(%err, "cannot accept connections, trying again");
                    }
                    is_short = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts what waits in the kernel when the daemon stops: closing the door would reset it.
    async fn receive_queued(&self, listener: &Listener) {
        let last = Instant::now() + QUEUE_LIMIT;
        while Instant::now() < last {
            match timeout(QUEUE_PAUSE, listener.accept()).await {
                Ok(Ok(accepted)) => self.receive_one(accepted),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}
