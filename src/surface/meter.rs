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

use super::MAX_SEATED_BYTES;
use crate::{
    memory::{Full, Hold},
    threads::Seat,
};

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
    /// What has come since the peer had nothing to say, and what has gone, in bytes.
    came: usize,
    went: usize,
    seat: Seat,
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
    /// Whether more has gone to and fro without a rest than nearly every call needs.
    much: AtomicBool,
    /// Whether there are no more requests, but what the connection was upgraded to.
    upgraded: AtomicBool,
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

    pub(super) fn upgrade(&self) {
        self.0.upgraded.store(true, Ordering::Relaxed);
    }

    fn is_upgraded(&self) -> bool {
        self.0.upgraded.load(Ordering::Relaxed)
    }

    /// Whether the peer asks for more, without a rest, than nearly everybody does.
    pub(super) fn is_much(&self) -> bool {
        self.0.much.load(Ordering::Relaxed)
    }

    fn set_much(&self, much: bool) {
        self.0.much.store(much, Ordering::Relaxed);
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
    pub(super) fn new(stream: S, hold: Hold, serving: Serving, seat: Seat) -> Self {
        Self {
            stream,
            hold,
            in_head: false,
            serving,
            came: 0,
            went: 0,
            seat,
        }
    }

    /// Waits for the peer, on the porch, while so many bytes are held.
    fn wait<T>(&mut self, cx: &Context<'_>, bytes: usize) -> Poll<io::Result<T>> {
        self.seat.send_out();
        match self.hold.poll_rest(cx, bytes) {
            Poll::Ready(Full { .. }) => Poll::Ready(Err(io::Error::other(NoMemory))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Counts what goes to and fro without a rest; of much it goes to the porch.
    fn count(&mut self, came: usize, went: usize) {
        self.came += came;
        self.went += went;
        let much = self.came > MAX_SEATED_BYTES || self.went > MAX_SEATED_BYTES;
        if much && !self.serving.is_upgraded() {
            self.serving.set_much(true);
            self.seat.send_out();
        }
    }

    /// Takes note that the peer has nothing to say.
    fn rest(&mut self) {
        (self.came, self.went) = (0, 0);
        self.serving.set_much(false);
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
            Poll::Pending => {
                if !serving {
                    self.rest();
                }
                Poll::Pending
            }
            Poll::Ready(read) => {
                let came = buffer.filled().len() - before;
                self.in_head = !serving && came > 0;
                self.count(came, 0);
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
                self.count(0, *written.as_ref().unwrap_or(&0));
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
