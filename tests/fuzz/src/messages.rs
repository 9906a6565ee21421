//! WebSocket messages in a stream of bytes: where the reads fall does not matter, memory has its
//! bound, and tungstenite finds the same messages.

use std::io::{self, Read, Write};

use bytes::Bytes;
use discordd::frame::{Bounds, Broken, End, Found, Framing as _, Messages, Pieces};
use tungstenite::{
    Error, Message, WebSocket,
    protocol::{Role, WebSocketConfig},
};

use super::support::{calls::depth, reads::cut};

/// How large a message may be: so little that the fuzzer comes to it.
const BOUNDS: Bounds = Bounds {
    max_bytes: 256,
    max_depth: 8,
};
/// Longest head of a frame, in bytes.
const MAX_HEAD_BYTES: usize = 14;
/// What a server sends before the payload of a pong.
const PONG: u8 = 0x8a;

/// Checks one input: where to cut it, and the stream.
pub fn check(bytes: &[u8]) {
    let Some((input, reads)) = cut(bytes) else {
        return;
    };
    let whole = found(std::iter::once(input));
    assert!(found(reads) == whole, "what is found depends on the reads");
    for found in &whole {
        match found {
            Found::Broken(Broken::Depth { .. }) | Found::End => {}
            Found::Broken(_) => panic!("a message is whole, and within its bounds"),
            Found::Reply(pong) => {
                assert_eq!(pong[0], PONG);
                assert_eq!(usize::from(pong[1]), pong.len() - 2);
            }
            Found::Text(text) => assert!(text.len() <= BOUNDS.max_bytes),
        }
    }
    compare(input, &whole);
    if let Ok(text) = std::str::from_utf8(input) {
        send_back(text);
    }
}

/// Everything found in a stream that is read like this, up to its end in words.
pub(crate) fn found<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut framer = Messages::new(BOUNDS);
    let mut found = Vec::new();
    for read in reads {
        framer.buffer().extend_from_slice(read);
        while let Some(next) = framer.next_found() {
            let is_end = next == Found::End;
            found.push(next);
            if is_end {
                assert!(framer.buffer().is_empty() && !framer.in_text());
                return found;
            }
        }
        let held = framer.buffer().len();
        assert!(
            held <= MAX_HEAD_BYTES + BOUNDS.max_bytes,
            "{held} bytes are held"
        );
        assert!(held == 0 || framer.in_text());
    }
    found.extend(framer.finish());
    found
}

/// Holds that tungstenite finds the same messages, and the same end. It looks at the text of a
/// message too, which is the business of whoever reads it here.
fn compare(input: &[u8], found: &[Found]) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(BOUNDS.max_bytes))
        .max_frame_size(Some(BOUNDS.max_bytes));
    let mut socket = WebSocket::from_raw_socket(Stream(input), Role::Server, Some(config));
    let mut ours = found.iter();
    let mut next_text = || ours.by_ref().find(|it| !matches!(it, Found::Reply(_)));
    loop {
        let theirs: Bytes = match socket.read() {
            Ok(Message::Text(text)) => text.into(),
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Ping(_) | Message::Pong(_)) => continue,
            Ok(Message::Frame(_)) => panic!("it reads no frames"),
            Err(Error::Utf8(_)) => return,
            Err(Error::Io(err)) if err.kind() == io::ErrorKind::WouldBlock => {
                // A frame that must not be is refused before it is there.
                let last = next_text();
                assert!(
                    last.is_none_or(|it| *it == Found::End),
                    "more was found than is there"
                );
                return;
            }
            Ok(Message::Close(_)) | Err(_) => {
                assert!(
                    next_text() == Some(&Found::End),
                    "it went on behind the end"
                );
                return;
            }
        };
        match next_text() {
            Some(Found::Text(ours)) => assert_eq!(*ours, theirs),
            Some(Found::Broken(_)) => {
                let depth = depth(&String::from_utf8_lossy(&theirs));
                assert!(depth > BOUNDS.max_depth, "it is no deeper than {depth}");
            }
            Some(Found::End | Found::Reply(_)) | None => panic!("{theirs:?} was not found"),
        }
    }
}

/// Holds that a client gets an answer as it was put, and then the end.
fn send_back(text: &str) {
    let framer = Messages::new(BOUNDS);
    let mut unsent = Pieces::default();
    framer.put(text.to_owned(), &mut unsent);
    framer.put_end(End::OfInput, &mut unsent);
    let sent = unsent.take_all();
    let mut socket = WebSocket::from_raw_socket(Stream(&sent), Role::Client, None);
    match socket.read() {
        Ok(Message::Text(read)) => assert_eq!(read.as_str(), text),
        read => panic!("{read:?}"),
    }
    assert!(matches!(socket.read(), Ok(Message::Close(Some(_)))));
}

/// Bytes to be read, after which there are none yet; what is written is nowhere.
struct Stream<'a>(&'a [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
