//! Tells by the first byte what a connection speaks.
//!
//! What it has to read for that may be half a token: it is given on, and not kept.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How much is read before it is known what a connection speaks, in bytes.
const SNIFFED_BYTES: usize = 64;

/// A connection, and what has been read of it only to look at it.
pub(super) struct Sniffed<S> {
    ahead: BytesMut,
    stream: S,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// HTTP/1.1: it begins with a method.
    Http,
    /// Raw JSON texts.
    Lines,
    /// Anything else.
    Nonsense,
    /// It was closed before it said anything.
    Nothing,
    /// A handshake of TLS.
    Tls,
}

/// How a handshake begins. See <https://www.rfc-editor.org/rfc/rfc8446#section-5.1>.
const HANDSHAKE: u8 = 0x16;

impl<S> Sniffed<S> {
    /// Puts a connection here that nothing was read of.
    pub(super) fn new(stream: S) -> Self {
        Self {
            ahead: BytesMut::new(),
            stream,
        }
    }

    /// Puts the connection into something else, with what was read of it.
    pub(super) fn map<T>(self, into: impl FnOnce(S) -> T) -> Sniffed<T> {
        Sniffed {
            ahead: self.ahead,
            stream: into(self.stream),
        }
    }
}

impl<S: AsyncRead + Unpin> Sniffed<S> {
    /// Looks at the first byte that is no white space, and leaves it to be read.
    pub(super) async fn sniff(&mut self) -> io::Result<Framing> {
        let mut is_first = true;
        loop {
            self.ahead.clear();
            self.ahead.reserve(SNIFFED_BYTES);
            let mut first_read = (&mut self.stream).take(SNIFFED_BYTES as u64);
            if first_read.read_buf(&mut self.ahead).await? == 0 {
                return Ok(Framing::Nothing);
            }
            let first = self.ahead.iter().position(|it| !it.is_ascii_whitespace());
            let Some(first) = first else {
                is_first = false;
                continue;
            };
            is_first &= first == 0;
            self.ahead.advance(first);
            return Ok(match self.ahead[0] {
                b'{' | b'[' => Framing::Lines,
                b'A'..=b'Z' => Framing::Http,
                HANDSHAKE if is_first => Framing::Tls,
                _ => Framing::Nonsense,
            });
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let given = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..given]);
        self.ahead.advance(given);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_byte_that_is_no_white_space_tells() {
        let long = format!("{}[{}]", " ".repeat(100), "1,".repeat(100));
        for (input, expected) in [
            ("{}", Framing::Lines),
            ("  \r\n\t[1]", Framing::Lines),
            ("POST / HTTP/1.1", Framing::Http),
            ("\u{16}\u{3}\u{1}", Framing::Tls),
            (" \u{16}\u{3}\u{1}", Framing::Nonsense),
            ("hello", Framing::Nonsense),
            ("", Framing::Nothing),
            (" \n ", Framing::Nothing),
            (&long, Framing::Lines),
        ] {
            let mut stream = Sniffed::new(input.as_bytes());
            assert_eq!(stream.sniff().await.unwrap(), expected, "{input:?}");
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, input.trim_ascii_start());
            let kept = stream.ahead.capacity();
            assert!(kept == 0 || expected == Framing::Nothing, "{input:?}");
        }
    }
}
