//! JSON texts in WebSocket messages, one in each, as RFC 6455 has them; the server's side alone.
//!
//! tungstenite reads and writes the heads of frames. Its own connection answers a Close at once and
//! sends nothing after, while here the calls under way are answered first.

use std::io::Cursor;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tungstenite::protocol::{
    CloseFrame,
    frame::{
        Frame, FrameHeader,
        coding::{CloseCode, Control, Data, OpCode},
    },
};

use super::{Bounds, Broken, End, Found, Framing, Pieces, is_deeper};

/// Largest payload of a control frame, in bytes.
/// See <https://www.rfc-editor.org/rfc/rfc6455#section-5.5>.
const MAX_CONTROL_BYTES: u64 = 125;

/// Finds messages in what a client sends.
pub struct Messages {
    received: BytesMut,
    /// What has come of a message that has not ended.
    begun: Option<Pieces>,
    /// The frame of it that has not come whole.
    open: Option<Open>,
    /// Why the connection ends.
    code: CloseCode,
    bounds: Bounds,
}

/// A frame that is long: its payload is taken as it comes.
struct Open {
    is_final: bool,
    mask: [u8; 4],
    /// How much of it is to come, in bytes.
    left: usize,
}

impl Messages {
    /// Makes one that takes messages within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            received: BytesMut::new(),
            begun: None,
            open: None,
            code: CloseCode::Normal,
            bounds,
        }
    }

    /// Takes what comes next of what has been received; none if more must come for that.
    fn step(&mut self) -> Result<Option<Step>, CloseCode> {
        if self.open.is_some() {
            return Ok(self.go_on());
        }
        let mut cursor = Cursor::new(&self.received[..]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| CloseCode::Protocol)?;
        let Some((header, length)) = parsed else {
            return Ok(None);
        };
        self.check(&header, length)?;
        let head = usize::try_from(cursor.position()).map_err(|_| CloseCode::Size)?;
        let length = usize::try_from(length).map_err(|_| CloseCode::Size)?;
        let mask = header.mask.ok_or(CloseCode::Protocol)?;
        let is_whole = self.received.len() >= head + length;
        if !is_whole && matches!(header.opcode, OpCode::Control(_)) {
            return Ok(None);
        }
        self.received.advance(head);
        if is_whole {
            let mut payload = self.received.split_to(length);
            unmask(&mut payload, mask);
            return self.take(&header, payload).map(Some);
        }
        self.begun.get_or_insert_default();
        self.open = Some(Open {
            is_final: header.is_final,
            mask,
            left: length,
        });
        Ok(Some(Step::On))
    }

    /// Takes what has come of a frame that is open.
    fn go_on(&mut self) -> Option<Step> {
        let (open, begun) = (self.open.as_mut()?, self.begun.as_mut()?);
        let count = open.left.min(self.received.len());
        if count == 0 {
            return None;
        }
        let part = &mut self.received[..count];
        unmask(part, open.mask);
        begun.extend(part);
        self.received.advance(count);
        open.mask.rotate_left(count % 4);
        open.left -= count;
        if open.left > 0 {
            return None;
        }
        let is_final = open.is_final;
        self.open = None;
        if !is_final {
            return Some(Step::On);
        }
        let message = self.begun.take().unwrap_or_default().take_all();
        Some(Step::Found(self.found(message)))
    }

    fn found(&self, message: Bytes) -> Found {
        let max_depth = self.bounds.max_depth;
        if is_deeper(&message, max_depth) {
            Found::Broken(Broken::Depth { max_depth })
        } else {
            Found::Text(message)
        }
    }

    /// Refuses a frame by its head alone, before its payload is waited for.
    fn check(&self, header: &FrameHeader, length: u64) -> Result<(), CloseCode> {
        let reserved = header.rsv1 || header.rsv2 || header.rsv3;
        if reserved || header.mask.is_none() {
            return Err(CloseCode::Protocol);
        }
        match header.opcode {
            OpCode::Control(_) if header.is_final && length <= MAX_CONTROL_BYTES => Ok(()),
            OpCode::Control(_) => Err(CloseCode::Protocol),
            OpCode::Data(kind) => {
                let goes_on = matches!(kind, Data::Continue);
                if matches!(kind, Data::Reserved(_)) || goes_on != self.begun.is_some() {
                    return Err(CloseCode::Protocol);
                }
                let begun = self.begun.as_ref().map_or(0, Pieces::len) as u64;
                let whole = begun.saturating_add(length);
                if whole > self.bounds.max_bytes as u64 {
                    return Err(CloseCode::Size);
                }
                Ok(())
            }
        }
    }

    /// Puts a frame that has come whole to the message it belongs to.
    fn take(&mut self, header: &FrameHeader, payload: BytesMut) -> Result<Step, CloseCode> {
        let found = match header.opcode {
            OpCode::Control(Control::Close) => self.end(CloseCode::Normal),
            OpCode::Control(Control::Ping) => Found::Reply(written(Frame::pong(payload))),
            OpCode::Control(Control::Pong) => return Ok(Step::On),
            OpCode::Control(Control::Reserved(_)) => return Err(CloseCode::Protocol),
            OpCode::Data(_) if header.is_final && self.begun.is_none() => {
                self.found(payload.freeze())
            }
            OpCode::Data(_) => {
                let begun = self.begun.get_or_insert_default();
                begun.extend(&payload);
                if !header.is_final {
                    return Ok(Step::On);
                }
                let message = begun.take_all();
                self.begun = None;
                self.found(message)
            }
        };
        Ok(Step::Found(found))
    }

    fn end(&mut self, code: CloseCode) -> Found {
        self.code = code;
        self.clear();
        Found::End
    }
}

/// What a step through what has been received has come to.
enum Step {
    Found(Found),
    On,
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

impl Framing for Messages {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    fn held(&self) -> usize {
        let begun = self.begun.as_ref().map_or(0, Pieces::held);
        self.received.capacity() + begun
    }

    fn clear(&mut self) {
        self.received = BytesMut::new();
        self.begun = None;
        self.open = None;
    }

    fn in_text(&self) -> bool {
        self.begun.is_some() || !self.received.is_empty()
    }

    fn next_found(&mut self) -> Option<Found> {
        loop {
            match self.step() {
                Ok(None) => break,
                Ok(Some(Step::On)) => {}
                Ok(Some(Step::Found(found))) => return Some(found),
                Err(code) => return Some(self.end(code)),
            }
        }
        if self.received.is_empty() {
            // An idle connection keeps no buffer.
            self.received = BytesMut::new();
        }
        None
    }

    fn finish(&mut self) -> Option<Found> {
        None
    }

    fn put(&self, answer: String, unsent: &mut Pieces) {
        let text = OpCode::Data(Data::Text);
        let frame = Frame::message(answer, text, true);
        unsent.extend(&written(frame));
    }

    fn put_end(&self, end: End, unsent: &mut Pieces) {
        let frame = Frame::close(Some(CloseFrame {
            code: match end {
                End::OfDaemon => CloseCode::Away,
                End::OfInput => self.code,
            },
            reason: "".into(),
        }));
        unsent.extend(&written(frame));
    }
}

/// A frame as it is sent: a server masks nothing.
fn written(frame: Frame) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame.len()).writer();
    // Memory takes anything.
    let _ = frame.format(&mut bytes);
    bytes.into_inner().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it.
    fn sent(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![opcode | if last { 0x80 } else { 0 }];
        if let Ok(length @ 0..126) = u8::try_from(payload.len()) {
            bytes.push(0x80 | length);
        } else {
            bytes.push(0xff);
            bytes.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
        bytes.extend(mask);
        bytes.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        bytes
    }

    fn check(input: &[u8], expected: &[Found], code: CloseCode) {
        for chunk in 1..=input.len() {
            let mut messages = Messages::new(Bounds {
                max_bytes: 100,
                max_depth: 3,
            });
            let mut found = Vec::new();
            for read in input.chunks(chunk) {
                messages.buffer().extend_from_slice(read);
                found.extend(std::iter::from_fn(|| messages.next_found()));
                if found.contains(&Found::End) {
                    break;
                }
            }
            assert_eq!(found, expected, "{chunk} at a time");
            assert_eq!(messages.code, code);
        }
    }

    fn text(text: &'static str) -> Found {
        Found::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn messages_are_found_whole_and_in_fragments() {
        let input = [
            sent(1, true, b"{}"),
            sent(2, true, b"[1]"),
            sent(1, false, b"{\"a\""),
            sent(9, true, b"ping"),
            sent(0, true, b":1}"),
            sent(8, true, &[]),
        ];
        let pong = Found::Reply(Bytes::from_static(b"\x8a\x04ping"));
        let expected = [text("{}"), text("[1]"), pong, text("{\"a\":1}"), Found::End];
        check(&input.concat(), &expected, CloseCode::Normal);
    }

    #[test]
    fn a_long_message_is_held_as_long_as_it_is_and_pings_within_it_are_answered() {
        const READ: usize = 1000;
        let text = format!("[{}1]", "1,".repeat(100_000));
        let bytes = text.as_bytes();
        let (first, second) = bytes.split_at(bytes.len() / 3);
        let input = [
            sent(1, false, first),
            sent(9, true, b"ping"),
            sent(0, true, second),
        ];
        let mut messages = Messages::new(Bounds {
            max_bytes: text.len(),
            max_depth: 3,
        });
        let mut found = Vec::new();
        for (number, read) in input.concat().chunks(READ).enumerate() {
            messages.buffer().extend_from_slice(read);
            found.extend(std::iter::from_fn(|| messages.next_found()));
            let come = (number + 1) * READ;
            assert!(messages.held() <= come + come / 4 + (64 << 10), "{come}");
        }
        let pong = Found::Reply(Bytes::from_static(b"\x8a\x04ping"));
        assert_eq!(found, [pong, Found::Text(text.into())]);
        assert!(!messages.in_text() && messages.held() == 0);
    }

    #[test]
    fn a_message_that_is_nested_too_deep_is_no_text_and_the_next_one_is() {
        let input = [sent(1, true, b"[[[[]]]]"), sent(1, true, b"[[[]]]")];
        let deep = Found::Broken(Broken::Depth { max_depth: 3 });
        let expected = [deep, text("[[[]]]")];
        check(&input.concat(), &expected, CloseCode::Normal);
    }

    #[test]
    fn what_the_protocol_forbids_ends_the_connection_with_its_code() {
        let end = [Found::End];
        check(b"\x81\x02{}", &end, CloseCode::Protocol);
        check(&sent(0x71, true, b"{}"), &end, CloseCode::Protocol);
        check(&sent(3, true, b"{}"), &end, CloseCode::Protocol);
        check(&sent(0, true, b"{}"), &end, CloseCode::Protocol);
        check(&sent(9, false, b""), &end, CloseCode::Protocol);
        check(&sent(1, true, &[b' '; 101]), &end, CloseCode::Size);
        let pieces = [sent(1, false, &[b' '; 60]), sent(0, true, &[b' '; 60])];
        check(&pieces.concat(), &end, CloseCode::Size);
        let twice = [sent(1, false, b"{"), sent(1, true, b"}")];
        check(&twice.concat(), &end, CloseCode::Protocol);
        // One gibibyte announced: nothing is waited for.
        let announced = b"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00\x01\x02\x03\x04";
        check(announced, &end, CloseCode::Size);
    }
}
