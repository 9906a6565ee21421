//! The doors: sockets, TLS, and HTTP/1.1 or HTTP/2 on each connection.
//!
//! It must not know a path. Every task is on the tracker and ends when the stop is cancelled.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::gate::Gate;
use super::line::Line;

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
    gate: Gate,
    tls: Option<TlsAcceptor>,
    http: auto::Builder<Tracked>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Door {
    /// Makes a door to the gate, with or without TLS.
    pub(super) fn new(
        gate: Gate,
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
            gate,
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
            let (line, wire) = Line::new(stream);
            let Some(tls) = &self.tls else {
                // HTTP's own timeout starts only once it knows its version.
                if let Ok(Ok(())) = timeout(HEAD_TIMEOUT, line.readable()).await {
                    self.serve(wire, line, peer, self.http.clone()).await;
                }
                return;
            };
            match timeout(HEAD_TIMEOUT, tls.accept(wire)).await {
                Ok(Ok(stream)) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let http = if is_http2 {
                        self.http.clone().http2_only()
                    } else {
                        self.http.clone().http1_only()
                    };
                    self.serve(stream, line, peer, http).await;
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

    /// Answers the requests of one connection, until either side or a request ends it.
    async fn serve<S>(&self, stream: S, line: Line, peer: SocketAddr, http: auto::Builder<Tracked>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let line = Arc::new(line);
        let service = {
            let (gate, line) = (self.gate.clone(), Arc::clone(&line));
            service_fn(move |request| gate.clone().answer(request, Arc::clone(&line), peer))
        };
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
        let mut over = std::pin::pin!(line.over());
        let mut is_stopping = false;
        // Said too when the stop's deadline drops this: tasks of HTTP/2 may wait for it.
        let _closing = Closing(&line);
        let end = loop {
            tokio::select! {
                end = connection.as_mut() => break end,
                () = over.as_mut() => return,
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

/// Says that a line is about to be closed, before what is older than itself is dropped.
struct Closing<'a>(&'a Line);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
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
