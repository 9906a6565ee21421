//! Tells by the first byte what a connection speaks.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// How much is read before it is known what a connection speaks, in bytes.
pub(super) const SNIFFED_BYTES: usize = 64;

/// What a connection speaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// HTTP/1.1: it begins with a method.
    Http,
    /// Raw JSON texts.
    Lines,
    /// Anything else.
    Nonsense,
    /// It was closed before it said anything.
    Nothing,
}

/// Looks at the first byte that is no white space, and leaves it to be read.
pub(super) async fn sniff(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Framing> {
    loop {
        let received = stream.fill_buf().await?;
        if received.is_empty() {
            return Ok(Framing::Nothing);
        }
        let first = received.iter().position(|byte| !byte.is_ascii_whitespace());
        let Some(first) = first else {
            let blank = received.len();
            stream.consume(blank);
            continue;
        };
        let framing = match received[first] {
            b'{' | b'[' => Framing::Lines,
            b'A'..=b'Z' => Framing::Http,
            _ => Framing::Nonsense,
        };
        stream.consume(first);
        return Ok(framing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_byte_that_is_no_white_space_tells() {
        for (input, expected) in [
            ("{}", Framing::Lines),
            ("  \r\n\t[1]", Framing::Lines),
            ("POST / HTTP/1.1", Framing::Http),
            ("\u{16}\u{3}\u{1}", Framing::Nonsense),
            ("hello", Framing::Nonsense),
            ("", Framing::Nothing),
            (" \n ", Framing::Nothing),
        ] {
            let mut stream = input.as_bytes();
            assert_eq!(sniff(&mut stream).await.unwrap(), expected, "{input:?}");
            assert_eq!(stream, input.trim_ascii_start().as_bytes());
        }
    }
}
