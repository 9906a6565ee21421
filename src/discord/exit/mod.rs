//! The one exit: everything that leaves the process for Discord leaves here.
//!
//! Each call's twilight client is pointed at a port on loopback and given a key for a token, while a
//! connection that belongs to the call is opened. The exit looks the call up by its key, puts the real
//! token in its place, sends, and reads the answer whole, bounded and in time. A success is handed on;
//! of everything else the exit keeps the facts and hands on only their number, so that twilight never
//! sees a 429, which it would repeat for ever.
//!
//! It must not remember a call after its end, and answers nobody who has no key.

mod attempt;
mod names;
mod passage;
mod rate_limit;
mod repeat;
mod seen;
mod strangers;
mod tls;
mod upstream;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING, USER_AGENT},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::TcpStream,
    runtime::{self, Handle},
    task::yield_now,
    time::Instant,
};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tracing::Instrument as _;

pub use self::tls::roots;
use self::{
    attempt::Answer,
    passage::{Passages, Slot},
    strangers::{Port, Shown, Strangers},
    upstream::Origin,
};
pub(super) use self::{passage::Passage, upstream::innermost};
use super::{
    guard::{Guard, GuardState},
    peer::Peer,
    progress::Progress,
    token::Token,
};
use crate::{config, metrics::Metrics, threads::Threads};

/// Largest request body that is passed on, in bytes: Discord takes 25 MiB.
const MAX_REQUEST_BYTES: usize = 26 << 20;
/// How long accepting pauses when the process is out of descriptors, or the system out of memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Strangers that are turned away before others of the process have a turn: it may be a flood.
const TURN: usize = 8;
/// What the daemon calls itself.
/// See <https://discord.com/developers/docs/reference#user-agent>.
const NAME: &str = concat!(
    "DiscordBot (https://crates.io/crates/discordd, ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

/// The way out of the process.
pub struct Exit {
    /// Its port on each thread.
    ports: Vec<(runtime::Id, SocketAddr)>,
    hop: Arc<Hop>,
}

/// What every connection to the exit shares.
struct Hop {
    attempts: usize,
    metrics: Arc<Metrics>,
    guard: Arc<Guard>,
    origin: Origin,
    passages: Arc<Passages>,
    strangers: Arc<Strangers>,
    tracker: TaskTracker,
}

/// Somebody whose call is over; the connection is closed without a word.
#[derive(Debug, thiserror::Error)]
#[error("the call is over")]
struct Over;

impl Exit {
    /// How many descriptors the process may have.
    #[must_use]
    pub fn descriptors() -> usize {
        let limit = getrlimit(Resource::Nofile).current;
        limit.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX))
    }

    /// How many of so many descriptors strangers at the exit's port may take.
    #[must_use]
    pub fn strangers(descriptors: usize) -> usize {
        strangers::part_of(descriptors)
    }

    /// Opens the exit for calls of the thread that this is called on: see [`open_on`](Self::open_on).
    ///
    /// # Errors
    ///
    /// When the settings name no usable origin or trust roots, or no port can be had.
    pub fn open(
        settings: &config::Discord,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
        tracker: &TaskTracker,
    ) -> anyhow::Result<Self> {
        Self::open_on(&Threads::current(), settings, metrics, stop, tracker)
    }

    /// Opens the exit for calls of `threads`, for each on a loopback port of the kernel's choice; it
    /// closes when `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// When the settings name no usable origin or trust roots, or no port can be had.
    pub fn open_on(
        threads: &Threads,
        settings: &config::Discord,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
        tracker: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let hop = Arc::new(Hop {
            attempts: settings.attempts,
            metrics: Arc::clone(metrics),
            guard: Arc::new(Guard::new(settings)),
            origin: Origin::new(settings, tracker.clone()).context(config::Unusable)?,
            passages: Arc::default(),
            strangers: Arc::new(Strangers::new(Self::descriptors())),
            tracker: tracker.clone(),
        });
        let mut ports = Vec::new();
        for thread in threads.all() {
            let (port, address) = Port::open_on(thread)?;
            tracing::debug!(port = address.port(), "the exit is open");
            let (served, stop) = (Arc::clone(&hop).serve(port), stop.clone());
            let served = async move {
                tokio::select! { () = served => {} () = stop.cancelled() => {} }
            };
            tracker.spawn_on(served, thread);
            ports.push((thread.id(), address));
        }
        Ok(Self { ports, hop })
    }

    /// Where twilight's clients are pointed that work on this thread: it goes through the exit there.
    pub(super) fn address(&self) -> SocketAddr {
        let here = Handle::current().id();
        let port = self.ports.iter().find(|(thread, _)| *thread == here);
        port.map_or(self.ports[0].1, |(_, address)| *address)
    }

    /// How the guard is, as `peer` is told.
    #[must_use]
    pub fn guard(&self, peer: Peer) -> GuardState {
        self.hop.guard.state(peer)
    }

    /// Opens a way for one call.
    pub(super) fn admit(
        &self,
        token: Token,
        peer: Peer,
        deadline: Instant,
        progress: Progress,
    ) -> Passage {
        let passages = &self.hop.passages;
        let passage = passages.admit(token, peer, deadline, progress);
        self.hop.set_out(passage.slot());
        passage
    }
}

impl Hop {
    /// Opens a connection for the first request of a call, if it may send one: it comes up while
    /// twilight is made and asked. A call that is refused before it has waited for anything opens
    /// none: what would is given up before its turn.
    fn set_out(self: &Arc<Self>, slot: &Slot) {
        if self.guard.refuses(slot.peer, &slot.token) {
            return;
        }
        let hop = Arc::clone(self);
        let connect = async move { hop.origin.connect().await };
        let connecting = self.tracker.spawn(connect.instrument(slot.span.clone()));
        slot.keep_connecting(AbortOnDropHandle::new(connecting));
    }

    async fn serve(self: Arc<Self>, port: Port) {
        let mut is_short = false;
        let mut turned_away = 0;
        loop {
            match port.accept().await {
                Ok(stream) => {
                    is_short = false;
                    turned_away += usize::from(!self.receive(stream));
                }
                Err(err) => {
                    if !is_short {
                        tracing::warn!(%err, "the exit cannot accept, trying again");
                    }
                    is_short = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            if turned_away == TURN {
                turned_away = 0;
                yield_now().await;
            }
        }
    }

    /// Serves whoever shows the key of a call, waits for whoever has shown nothing yet, and turns away
    /// all others: false then.
    fn receive(self: &Arc<Self>, stream: TcpStream) -> bool {
        let shown = strangers::glance(&stream, &self.passages);
        if matches!(shown, Shown::Other) || strangers::welcome(&stream).is_err() {
            return false;
        }
        let hop = Arc::clone(self);
        if let Shown::Key(slot) = shown {
            self.tracker.spawn(hop.serve_connection(stream, slot));
            return true;
        }
        self.tracker.spawn(async move {
            // A client of our own on this thread writes as soon as it has its turn.
            yield_now().await;
            let slot = match strangers::glance(&stream, &hop.passages) {
                Shown::Key(slot) => Some(slot),
                Shown::Other => None,
                Shown::Silence => {
                    let stay = hop.strangers.receive(Instant::now());
                    stay.end(&stream, &hop.passages).await
                }
            };
            if let Some(slot) = slot {
                hop.serve_connection(stream, slot).await;
            }
        });
        true
    }

    /// Serves one request; the client behind it has one connection for each request under way.
    async fn serve_connection(self: Arc<Self>, stream: TcpStream, slot: Arc<Slot>) {
        let service = service_fn(|request| Arc::clone(&self).pass_on(request, Arc::clone(&slot)));
        let served = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(err) = served {
            tracing::debug!(%err, "a connection to the exit ended early");
        }
    }

    async fn pass_on(
        self: Arc<Self>,
        request: Request<Incoming>,
        slot: Arc<Slot>,
    ) -> Result<Response<Full<Bytes>>, Over> {
        let request = self.prepare(request, &slot).await.ok_or(Over)?;
        if !slot.begin() {
            return Err(Over);
        }
        let sent = repeat::send(&self, &slot, request).instrument(slot.span.clone());
        let outcome = tokio::select! {
            outcome = sent => outcome,
            () = slot.ended.cancelled() => return Err(Over),
        };
        let (status, body) = match outcome {
            Ok(Answer { status, body }) => (status, body),
            Err(error) => {
                let number = slot.keep_failure(error);
                let body = format!(r#"{{"code":{number},"message":""}}"#);
                (StatusCode::BAD_REQUEST, body.into())
            }
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        Ok(response)
    }

    /// Makes the request that Discord gets: the same one, under the real token.
    async fn prepare(
        &self,
        request: Request<Incoming>,
        slot: &Slot,
    ) -> Option<Request<Full<Bytes>>> {
        let (mut head, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST_BYTES).collect().await.ok()?;
        let mut token = HeaderValue::from_str(&format!("Bot {}", slot.token.expose())).ok()?;
        token.set_sensitive(true);
        head.headers.remove(CONNECTION);
        head.headers.remove(TRANSFER_ENCODING);
        head.headers.insert(AUTHORIZATION, token);
        let authority = HeaderValue::from_str(self.origin.authority()).ok()?;
        head.headers.insert(HOST, authority);
        head.headers
            .insert(USER_AGENT, HeaderValue::from_static(NAME));
        Some(Request::from_parts(head, Full::new(body.to_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_call_sets_out_at_once_unless_it_may_ask_nothing() {
        let upstream = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base_url = format!("http://{}", upstream.local_addr().unwrap());
        let settings = config::Discord {
            base_url: base_url.parse().unwrap(),
            ..config::Discord::default()
        };
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let exit = Exit::open(&settings, &Arc::default(), &stop, &tracker).unwrap();
        let token = || Token::parse("made-up").unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let admit = || exit.admit(token(), Peer::Own, deadline, Progress::default());

        let passage = admit();
        let (mut connection, _) = upstream.accept().await.unwrap();
        drop(passage);
        let read = connection.read(&mut [0; 1]).await;
        assert_eq!(read.unwrap(), 0);

        let permit = exit.hop.guard.admit(Peer::Own, &token()).unwrap();
        permit.answered(StatusCode::UNAUTHORIZED, false);
        assert!(admit().slot().take_connecting().is_none());
    }
}
