//! One connection's socket, held so that a request can end or reset the connection it came on.
//!
//! It must not know HTTP: it carries bytes, and ends when it is told to.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How often a socket that has unread bytes is asked whether its peer is gone.
const PEER_CHECK: Duration = Duration::from_millis(20);

/// A connection, as a request on it sees it.
pub(super) struct Line {
    stream: Arc<TcpStream>,
    is_counted: AtomicBool,
    is_reset: AtomicBool,
    hung_up: CancellationToken,
    watched: CancellationToken,
    closed: CancellationToken,
}

impl Line {
    /// Takes a connection, and gives what is read from and written to beside it.
    pub(super) fn new(stream: TcpStream) -> (Self, Wire) {
        let stream = Arc::new(stream);
        let line = Self {
            stream: Arc::clone(&stream),
            is_counted: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
            hung_up: CancellationToken::new(),
            watched: CancellationToken::new(),
            closed: CancellationToken::new(),
        };
        (line, Wire(stream))
    }

    /// Tells, once, that this connection was not counted yet.
    pub(super) fn is_new(&self) -> bool {
        !self.is_counted.swap(true, Ordering::Relaxed)
    }

    /// Waits until the peer can be read from or is gone.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Asks for the end of the connection, by FIN or by RST.
    pub(super) fn hang_up(&self, is_reset: bool) {
        self.is_reset.store(is_reset, Ordering::Relaxed);
        self.hung_up.cancel();
    }

    /// Asks for the end of the connection once its peer has ended its side. HTTP does not look
    /// for that while it waits for an answer.
    pub(super) fn watch(&self) {
        self.watched.cancel();
    }

    /// Waits until the connection is closed.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Waits until the end was asked for.
    pub(super) async fn over(&self) {
        let peer_gone = async {
            self.watched.cancelled().await;
            self.peer_gone().await;
        };
        tokio::select! {
            () = self.hung_up.cancelled() => (),
            () = peer_gone => (),
        }
    }

    async fn peer_gone(&self) {
        loop {
            match self.stream.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => sleep(PEER_CHECK).await,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Says that the connection is about to be closed; its sockets are dropped behind this.
    pub(super) fn close(&self) {
        if self.is_reset.load(Ordering::Relaxed)
            && let Err(err) = set_socket_linger(&*self.stream, Some(Duration::ZERO))
        {
            debug!(%err, "no SO_LINGER");
        }
        self.closed.cancel();
    }
}

/// The bytes of a connection.
pub(super) struct Wire(Arc<TcpStream>);

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => (),
                Err(err) => return Poll::Ready(Err(err)),
            }
        }
    }
}

impl Wire {
    fn poll_some(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match write(&self.0) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => (),
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_some(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_some(context, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write);
        Poll::Ready(done.map_err(io::Error::from))
    }
}
