//! The doors: sockets, TLS, and HTTP/1.1 or HTTP/2 on each connection.
//!
//! It must not know a path. Every task is on the tracker and ends when the stop is cancelled.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::routes::Peer;
use super::world::World;

/// Connections the kernel keeps waiting. Callers that open one for each call come in bursts.
const BACKLOG: u32 = 4096;
/// How long accepting rests when it fails, as it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a peer has for its first byte, its TLS handshake, and each request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may still answer once the stop is cancelled.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Binds an address; port 0 is one of the kernel's choice.
///
/// # Errors
///
/// When the address cannot be bound.
pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().with_context(|| format!("bind {address}"))
}

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Door {
    world: Arc<World>,
    router: Router,
    tls: Option<TlsAcceptor>,
    http: auto::Builder<Tracked>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Door {
    /// Makes a door to the world, with or without TLS.
    pub(super) fn new(
        world: Arc<World>,
        router: Router,
        tls: Option<Arc<ServerConfig>>,
        stop: CancellationToken,
        tracker: TaskTracker,
    ) -> Self {
        let mut http = auto::Builder::new(Tracked(tracker.clone()));
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .half_close(true);
        http.http2().timer(TokioTimer::new());
        Self {
            world,
            router,
            tls: tls.map(TlsAcceptor::from),
            http,
            stop,
            tracker,
        }
    }

    /// Accepts connections until the stop.
    pub(super) async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.tracker.spawn(self.clone().greet(stream, peer));
                }
                Err(err) => {
                    warn!(%err, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits for the first bytes, and finds out how to read them.
    async fn greet(self, stream: TcpStream, peer: SocketAddr) {
        let stop = self.stop.clone();
        let serving = async {
            if let Err(err) = stream.set_nodelay(true) {
                debug!(%err, "no TCP_NODELAY");
            }
            let Some(tls) = &self.tls else {
                // HTTP's own timeout starts only once it knows its version.
                if let Ok(Ok(())) = timeout(HEAD_TIMEOUT, stream.readable()).await {
                    self.serve(stream, peer, self.http.clone()).await;
                }
                return;
            };
            match timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let http = if is_http2 {
                        self.http.clone().http2_only()
                    } else {
                        self.http.clone().http1_only()
                    };
                    self.serve(stream, peer, http).await;
                }
                Ok(Err(err)) => debug!(%err, "TLS handshake failed"),
                Err(_) => debug!("TLS handshake took too long"),
            }
        };
        let deadline = async {
            stop.cancelled().await;
            sleep(STOP_GRACE).await;
        };
        tokio::select! {
            () = serving => (),
            () = deadline => (),
        }
    }

    /// Answers the requests of one connection, until either side ends it.
    async fn serve<S>(&self, stream: S, peer: SocketAddr, http: auto::Builder<Tracked>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = TowerToHyperService::new(self.router.clone());
        let world = Arc::clone(&self.world);
        let is_counted = AtomicBool::new(false);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            if request.uri().path().starts_with("/api/") {
                world.counters.requests.fetch_add(1, Ordering::Relaxed);
                if !is_counted.swap(true, Ordering::Relaxed) {
                    world.counters.connections.fetch_add(1, Ordering::Relaxed);
                }
            }
            request.extensions_mut().insert(Peer(peer));
            router.call(request)
        });
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut is_stopping = false;
        let end = loop {
            tokio::select! {
                end = connection.as_mut() => break end,
                () = self.stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(err) = end {
            debug!(err, "connection failed");
        }
    }
}

/// Puts the tasks of HTTP/2 on the tracker.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
