//! Lines in a stream of bytes, one message each, whatever stands in them.
//!
//! It looks at line ends only: a bracket that is not closed costs its own line.

use std::mem;

use bytes::{Bytes, BytesMut};

use crate::frame::Broken;

/// Finds lines, however the reads fall.
pub(super) struct Lines {
    /// What was received and is not yet part of a line that was handed out.
    received: BytesMut,
    /// How much of it has been looked at.
    scanned: usize,
    /// Whether the line was refused already, and its rest counts for nothing.
    refused: bool,
    max_line_bytes: usize,
}

impl Lines {
    /// Makes one that takes lines of up to `max_line_bytes`, their ends not counted.
    pub(super) fn new(max_line_bytes: usize) -> Self {
        Self {
            received: BytesMut::new(),
            scanned: 0,
            refused: false,
            max_line_bytes,
        }
    }

    /// Where what is received is put.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    /// Gives the next whole line that is not blank; one that is too long is told of once.
    pub(super) fn next_line(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            let unseen = &self.received[self.scanned..];
            let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.received.len();
                return self.refuse_if_too_long();
            };
            let end = self.scanned + end;
            let line = self.received.split_to(end + 1).freeze().slice(..end);
            self.scanned = 0;
            if let Some(found) = self.take(line) {
                return Some(found);
            }
        }
    }

    /// Says that no more will come, and gives a last line without its end.
    pub(super) fn finish(&mut self) -> Option<Result<Bytes, Broken>> {
        let line = mem::take(&mut self.received).freeze();
        self.scanned = 0;
        self.take(line)
    }

    fn take(&mut self, line: Bytes) -> Option<Result<Bytes, Broken>> {
        if mem::take(&mut self.refused) || line.trim_ascii().is_empty() {
            return None;
        }
        let fits = line.len() <= self.max_line_bytes;
        Some(if fits { Ok(line) } else { Err(self.too_long()) })
    }

    /// Keeps no more of a line than may be taken.
    fn refuse_if_too_long(&mut self) -> Option<Result<Bytes, Broken>> {
        let too_long = self.received.len() > self.max_line_bytes;
        if self.received.is_empty() || self.refused || too_long {
            // An idle input keeps no buffer either.
            self.received = BytesMut::new();
            self.scanned = 0;
        }
        if self.refused || !too_long {
            return None;
        }
        self.refused = true;
        Some(Err(self.too_long()))
    }

    fn too_long(&self) -> Broken {
        let max_bytes = self.max_line_bytes;
        Broken::Size { max_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOO_LONG: Result<&str, Broken> = Err(Broken::Size { max_bytes: 8 });

    fn check(input: &str, expected: &[Result<&str, Broken>]) {
        for chunk in 1..=input.len().max(1) {
            let mut lines = Lines::new(8);
            let mut found = Vec::new();
            for read in input.as_bytes().chunks(chunk) {
                lines.buffer().extend_from_slice(read);
                found.extend(std::iter::from_fn(|| lines.next_line()));
            }
            found.extend(lines.finish());
            assert!(lines.buffer().is_empty());
            let texts = found
                .iter()
                .map(|it| it.as_ref().map(|line| std::str::from_utf8(line).unwrap()));
            let texts: Vec<_> = texts.map(|it| it.map_err(|broken| *broken)).collect();
            assert_eq!(texts, expected, "{chunk} at a time");
        }
    }

    #[test]
    fn a_line_ends_where_it_ends_whatever_is_open_in_it() {
        check("", &[]);
        check("\n \r\n\t\n", &[]);
        check("{\n[\n\"\n{}\n", &[Ok("{"), Ok("["), Ok("\""), Ok("{}")]);
        check("{} {} []\n{}", &[Ok("{} {} []"), Ok("{}")]);
        check("{}\r\n", &[Ok("{}\r")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_of_once_and_left_behind() {
        check("12345678\n12345678", &[Ok("12345678"), Ok("12345678")]);
        check("123456789\n1\n", &[TOO_LONG, Ok("1")]);
        let long = format!("{}\n{{}}\n{}", "x".repeat(40), "y".repeat(40));
        check(&long, &[TOO_LONG, Ok("{}"), TOO_LONG]);
    }
}
