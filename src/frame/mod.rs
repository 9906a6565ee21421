//! Bytes to JSON texts and back, with a size and a depth limit: raw, or in WebSocket messages.
//!
//! It does no I/O, and does not know what a text asks.

mod json;
mod pieces;
mod websocket;

use bytes::{Bytes, BytesMut};

pub use self::{
    json::{JsonTexts, is_deeper},
    pieces::Pieces,
    websocket::Messages,
};

/// How large a text may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long, in bytes.
    pub max_bytes: usize,
    /// How deep, in brackets.
    pub max_depth: usize,
}

/// How texts lie in a stream of bytes.
pub trait Framing {
    /// Where what is received is put.
    fn buffer(&mut self) -> &mut BytesMut;

    /// How many bytes of memory are held for what has been received.
    fn held(&self) -> usize;

    /// Forgets what has been received.
    fn clear(&mut self);

    /// Whether a text has begun and not ended.
    fn in_text(&self) -> bool;

    /// Gives what comes next of what has been received.
    fn next_found(&mut self) -> Option<Found>;

    /// Says that no more will come, and gives what is left.
    fn finish(&mut self) -> Option<Found>;

    /// Puts an answer behind what waits to be sent.
    fn put(&self, answer: String, unsent: &mut Pieces);

    /// Puts the end of all answers behind what waits to be sent.
    fn put_end(&self, end: End, unsent: &mut Pieces);
}

/// Why the daemon says no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer is done, or is not understood.
    OfInput,
    /// The daemon is stopping.
    OfDaemon,
}

/// What is found in a stream of bytes.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Found {
    /// Bytes that are no text.
    Broken(Broken),
    /// The end, said in words: nothing that follows counts.
    End,
    /// Something to send back at once.
    Reply(Bytes),
    /// A text.
    Text(Bytes),
}

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The input ended in the middle of it.
    #[error("the input ended in the middle of a JSON text")]
    Cut,
    /// Nested deeper than the limit.
    #[error("a JSON text is nested deeper than {max_depth}")]
    Depth {
        /// The limit.
        max_depth: usize,
    },
    /// A line ended inside a string.
    #[error("a line ends inside a JSON string")]
    OpenString,
    /// Longer than the limit.
    #[error("a JSON text is longer than {max_bytes} bytes")]
    Size {
        /// The limit.
        max_bytes: usize,
    },
}
