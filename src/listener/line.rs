//! One connection, of either kind of door, that can be asked whether its other end is gone.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{Shutdown, shutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::surface::Gone;

/// What a connection is made of.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection.
pub(super) struct Line(Arc<Mutex<Option<Stream>>>);

impl Line {
    /// A connection that was accepted.
    pub(super) fn new(stream: Stream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// What tells whether the other end is gone.
    ///
    /// One that only ended its input still reads, and is not gone. At a TCP port both look the same
    /// until something is written: there only a reset tells.
    pub(super) fn gone(&self) -> Gone {
        let line = Arc::downgrade(&self.0);
        Gone::new(move || {
            let has_hung_up = |stream: &Stream| stream.has_hung_up();
            let line = line.upgrade();
            line.is_none_or(|line| lock(&line).as_ref().is_none_or(has_hung_up))
        })
    }

    /// What has the connection watched by the thread that it is called on.
    pub(super) fn follow(&self) -> impl Fn() + Send + Sync + 'static {
        let line = Arc::downgrade(&self.0);
        move || {
            let Some(line) = line.upgrade() else { return };
            let mut stream = lock(&line);
            let moved = stream.take().map(Stream::move_here).transpose();
            *stream = moved.unwrap_or_else(|err| {
                tracing::warn!(%err, "a connection cannot be watched by another thread");
                None
            });
        }
    }

    fn with<T>(&self, what: impl FnOnce(&Stream) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &*lock(&self.0) {
            Some(stream) => what(stream),
            // The system had no room to watch it.
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
fn lock(stream: &Mutex<Option<Stream>>) -> MutexGuard<'_, Option<Stream>> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stream {
    /// Has a connection watched by the thread that this is called on.
    fn move_here(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Self::Unix(stream) => Self::Unix(UnixStream::from_std(stream.into_std()?)?),
        })
    }

    fn has_hung_up(&self) -> bool {
        let mut asked = [match self {
            Self::Tcp(stream) => PollFd::new(stream, PollFlags::empty()),
            Self::Unix(stream) => PollFd::new(stream, PollFlags::empty()),
        }];
        // The kernel tells these whether they are asked for or not.
        poll(&mut asked, Some(&Timespec::default())).is_ok()
            && asked[0]
                .revents()
                .intersects(PollFlags::HUP | PollFlags::ERR)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Reads what there is. A read that leaves room has read all of it: the next one need not ask.
    fn try_read(&self, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
        let (room, mut read) = (buffer.remaining(), 0);
        let mut read_once = || {
            read = match self {
                Self::Tcp(stream) => stream.try_read_buf(buffer)?,
                Self::Unix(stream) => stream.try_read_buf(buffer)?,
            };
            if 0 < read && read < room {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        };
        let tried = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, &mut read_once),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, &mut read_once),
        };
        if read > 0 { Ok(()) } else { tried }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(cx),
            Self::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(pieces),
            Self::Unix(stream) => stream.try_write_vectored(pieces),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| {
            loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_read(buffer) {
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                    read => return Poll::Ready(read),
                }
            }
        })
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| {
            loop {
                ready!(stream.poll_write_ready(cx))?;
                match stream.try_write(pieces) {
                    Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written),
                }
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| {
            let done = match stream {
                Stream::Tcp(stream) => shutdown(stream, Shutdown::Write),
                Stream::Unix(stream) => shutdown(stream, Shutdown::Write),
            };
            Poll::Ready(done.map_err(io::Error::from))
        })
    }
}
