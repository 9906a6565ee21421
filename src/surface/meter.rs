//! What an HTTP connection holds while it waits for its peer: half a head, or answers that are not
//! read. hyper has its own buffers, so it is looked at where they are filled and emptied.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::memory::{Full, Hold};

/// What a connection costs whose peer keeps it waiting within a request or an answer, in bytes: its
/// buffers, and what else belongs to it.
pub(super) const HEAD_BYTES: usize = 24 << 10;

/// A connection that counts what it makes hyper hold.
pub(super) struct Meter<S> {
    stream: S,
    hold: Hold,
    /// Whether bytes came for which there is no request yet.
    in_head: bool,
    serving: Serving,
}

/// Which requests have come whole, but for their bodies.
#[derive(Clone, Default)]
pub(super) struct Serving(Arc<Flags>);

#[derive(Default)]
struct Flags {
    /// Whether one is not answered.
    on: AtomicBool,
    /// Whether one has come since this was asked.
    begun: AtomicBool,
}

/// A connection has to give way, and is closed.
#[derive(Debug, thiserror::Error)]
#[error("others need the memory")]
pub(super) struct NoMemory;

impl NoMemory {
    /// Whether this is why a connection failed.
    pub(super) fn is_why(err: &io::Error) -> bool {
        let inner = err.get_ref();
        inner.and_then(|it| it.downcast_ref::<Self>()).is_some()
    }
}

impl Serving {
    pub(super) fn begin(&self) {
        self.0.on.store(true, Ordering::Relaxed);
        self.0.begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.0.on.store(false, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// Whether a request has come since this was asked, answered or not.
    fn has_begun(&self) -> bool {
        self.0.begun.swap(false, Ordering::Relaxed)
    }
}

impl<S> Meter<S> {
    pub(super) fn new(stream: S, hold: Hold, serving: Serving) -> Self {
        Self {
            stream,
            hold,
            in_head: false,
            serving,
        }
    }

    /// Waits for the peer while so many bytes are held.
    fn wait<T>(&mut self, cx: &Context<'_>, bytes: usize) -> Poll<io::Result<T>> {
        match self.hold.poll_rest(cx, bytes) {
            Poll::Ready(Full { .. }) => Poll::Ready(Err(io::Error::other(NoMemory))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Takes note that the peer does not keep the connection waiting.
    fn go_on(&mut self) {
        // Whoever had to give way is told when he waits again.
        let _ = self.hold.set(0);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Meter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let serving = self.serving.is_on();
        // A call may be over before more is read.
        if self.serving.has_begun() || serving {
            self.in_head = false;
            self.go_on();
        }
        match read {
            Poll::Pending if self.in_head => self.wait(cx, HEAD_BYTES),
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                self.in_head = !serving && buffer.filled().len() > before;
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Meter<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, pieces) {
            Poll::Pending => {
                let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
                self.wait(cx, HEAD_BYTES + bytes)
            }
            Poll::Ready(written) => {
                self.go_on();
                Poll::Ready(written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
