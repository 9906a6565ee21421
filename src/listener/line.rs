//! One connection, of either kind of door, that can be asked whether its other end is gone.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{Shutdown, shutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
    runtime::Handle,
};

use crate::{surface::Gone, threads::Given};

/// What a connection is made of.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection.
pub(super) struct Line {
    stream: Arc<Stream>,
    _given: Given,
}

impl Line {
    /// Hands a connection over to the thread that it is given to.
    ///
    /// # Errors
    ///
    /// When the system has no room to watch it there.
    pub(super) fn new(stream: Stream, given: Given) -> io::Result<Self> {
        Ok(Self {
            stream: Arc::new(stream.moved_to(given.runtime())?),
            _given: given,
        })
    }

    /// What tells whether the other end is gone.
    ///
    /// One that only ended its input still reads, and is not gone. At a TCP port both look the same
    /// until something is written: there only a reset tells.
    pub(super) fn gone(&self) -> Gone {
        let stream = Arc::downgrade(&self.stream);
        Gone::new(move || stream.upgrade().is_none_or(|stream| stream.has_hung_up()))
    }
}

impl Stream {
    fn moved_to(self, thread: &Handle) -> io::Result<Self> {
        if Handle::current().id() == thread.id() {
            return Ok(self);
        }
        Ok(match self {
            Self::Tcp(stream) => {
                let stream = stream.into_std()?;
                let _there = thread.enter();
                Self::Tcp(TcpStream::from_std(stream)?)
            }
            Self::Unix(stream) => {
                let stream = stream.into_std()?;
                let _there = thread.enter();
                Self::Unix(UnixStream::from_std(stream)?)
            }
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
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
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
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write(pieces) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &*self.stream {
            Stream::Tcp(stream) => shutdown(stream, Shutdown::Write),
            Stream::Unix(stream) => shutdown(stream, Shutdown::Write),
        };
        Poll::Ready(done.map_err(io::Error::from))
    }
}
