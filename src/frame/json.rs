//! JSON texts one after another: newline-delimited, concatenated or pretty-printed.
//!
//! They are found in a single pass that looks at quotes and brackets only; whether a text is JSON is
//! for others to say.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr2, memchr3};

use super::{
    Bounds, Broken, End, Found, Framing,
    pieces::{PIECE_BYTES, Pieces},
};

/// Finds JSON texts in a stream of bytes, however the reads fall.
pub struct JsonTexts {
    /// What was received and is not yet part of a text that was handed out.
    received: BytesMut,
    /// The beginning of a text that is long.
    begun: Pieces,
    /// How much of it has been looked at.
    scanned: usize,
    inside: Inside,
    bounds: Bounds,
}

/// Where in a text the scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// An object or array, `depth` deep.
    Brackets { depth: usize },
    /// A string in an object or array.
    Text { depth: usize },
    /// A string, just behind a backslash.
    Escape { depth: usize },
    /// Something that starts with no bracket: it ends with its line.
    Line,
    /// Nothing yet.
    Nothing,
    /// What follows a broken text: it ends with its line.
    Rubbish,
}

impl JsonTexts {
    /// Makes one that takes texts within `bounds`.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            received: BytesMut::new(),
            begun: Pieces::default(),
            scanned: 0,
            inside: Inside::Nothing,
            bounds,
        }
    }

    fn step(&mut self, byte: u8) -> Step {
        let (inside, step) = match (self.inside, byte) {
            (Inside::Nothing, b' ' | b'\t' | b'\r' | b'\n') | (Inside::Rubbish, b'\n') => {
                (Inside::Nothing, Step::Forget)
            }
            (Inside::Rubbish, _) => (Inside::Rubbish, Step::Forget),
            (Inside::Nothing, b'{' | b'[') => (Inside::Brackets { depth: 1 }, Step::On),
            (Inside::Nothing, _) => (Inside::Line, Step::On),
            (Inside::Brackets { depth }, b'{' | b'[') if depth >= self.bounds.max_depth => {
                let max_depth = self.bounds.max_depth;
                return Step::Broken(Broken::Depth { max_depth });
            }
            (Inside::Brackets { depth }, b'{' | b'[') => {
                (Inside::Brackets { depth: depth + 1 }, Step::On)
            }
            (Inside::Line, b'\n') | (Inside::Brackets { depth: 1 }, b'}' | b']') => {
                (Inside::Nothing, Step::End)
            }
            (Inside::Brackets { depth }, b'}' | b']') => {
                (Inside::Brackets { depth: depth - 1 }, Step::On)
            }
            (Inside::Brackets { depth }, b'"') => (Inside::Text { depth }, Step::On),
            (Inside::Text { depth }, b'"') => (Inside::Brackets { depth }, Step::On),
            (Inside::Text { depth }, b'\\') => (Inside::Escape { depth }, Step::On),
            (Inside::Text { .. } | Inside::Escape { .. }, b'\n') => {
                return Step::Broken(Broken::OpenString);
            }
            (Inside::Line | Inside::Brackets { .. } | Inside::Text { .. }, _) => return Step::On,
            (Inside::Escape { depth }, _) => (Inside::Text { depth }, Step::On),
        };
        self.inside = inside;
        step
    }

    /// Passes by what changes nothing: most of a long text is in strings. One byte is always left.
    fn skip(&mut self) {
        if matches!(self.inside, Inside::Text { .. }) {
            let rest = &self.received[self.scanned..];
            self.scanned += memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len() - 1);
        }
    }

    fn take(&mut self) -> Bytes {
        self.inside = Inside::Nothing;
        let last = self.received.split_to(self.scanned);
        self.scanned = 0;
        if self.begun.is_empty() {
            return last.freeze();
        }
        self.begun.extend(&last);
        self.begun.take_all()
    }

    /// Leaves a broken text behind, up to the end of its line.
    fn leave(&mut self, last: u8) {
        self.inside = if last == b'\n' {
            Inside::Nothing
        } else {
            Inside::Rubbish
        };
        self.forget();
    }

    fn forget(&mut self) {
        self.begun.clear();
        self.received.advance(self.scanned);
        self.scanned = 0;
    }
}

impl Framing for JsonTexts {
    fn buffer(&mut self) -> &mut BytesMut {
        &mut self.received
    }

    fn held(&self) -> usize {
        self.received.capacity() + self.begun.held()
    }

    fn clear(&mut self) {
        self.received = BytesMut::new();
        self.begun.clear();
        self.scanned = 0;
        self.inside = Inside::Nothing;
    }

    fn in_text(&self) -> bool {
        !matches!(self.inside, Inside::Nothing | Inside::Rubbish)
    }

    fn next_found(&mut self) -> Option<Found> {
        while self.scanned < self.received.len() {
            self.skip();
            let byte = self.received[self.scanned];
            self.scanned += 1;
            let max_bytes = self.bounds.max_bytes;
            if self.begun.len() + self.scanned > max_bytes {
                self.leave(byte);
                return Some(Found::Broken(Broken::Size { max_bytes }));
            }
            match self.step(byte) {
                Step::On => {}
                Step::Broken(broken) => {
                    self.leave(byte);
                    return Some(Found::Broken(broken));
                }
                Step::End => return Some(Found::Text(self.take())),
                Step::Forget => self.forget(),
            }
        }
        if self.in_text() && self.received.len() >= PIECE_BYTES {
            self.begun.extend(&self.received);
            self.received.clear();
            self.scanned = 0;
        }
        if self.received.is_empty() {
            // An idle connection keeps no buffer.
            self.received = BytesMut::new();
        }
        None
    }

    fn finish(&mut self) -> Option<Found> {
        match self.inside {
            Inside::Nothing | Inside::Rubbish => None,
            Inside::Line => Some(Found::Text(self.take())),
            Inside::Brackets { .. } | Inside::Text { .. } | Inside::Escape { .. } => {
                self.inside = Inside::Rubbish;
                self.forget();
                Some(Found::Broken(Broken::Cut))
            }
        }
    }

    fn put(&self, answer: String, unsent: &mut Pieces) {
        unsent.push_and(answer.into_bytes(), b'\n');
    }

    fn put_end(&self, _: End, _: &mut Pieces) {}
}

/// What one byte does.
enum Step {
    /// It makes the text impossible.
    Broken(Broken),
    /// It ends the text.
    End,
    /// It belongs to no text.
    Forget,
    /// It belongs to the text.
    On,
}

/// Whether a text that has come whole is nested deeper than `max_depth`.
#[must_use]
pub fn is_deeper(text: &[u8], max_depth: usize) -> bool {
    if text.len() <= max_depth {
        return false;
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' => at = behind_string(text, at),
            b'{' | b'[' => {
                depth += 1;
                if depth > max_depth {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Where the string ends that goes on at `at`, or else the text.
fn behind_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // What is behind a backslash ends nothing.
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_bytes: 200,
        max_depth: 90,
    };

    /// Everything found in `input`, read `chunk` bytes at a time.
    fn found(input: &[u8], chunk: usize) -> Vec<Result<String, Broken>> {
        let mut framer = JsonTexts::new(BOUNDS);
        let mut found = Vec::new();
        for read in input.chunks(chunk) {
            framer.buffer().extend_from_slice(read);
            found.extend(std::iter::from_fn(|| framer.next_found()));
        }
        found.extend(framer.finish());
        assert!(framer.buffer().is_empty());
        let texts = found.into_iter().map(|found| match found {
            Found::Text(text) => Ok(String::from_utf8(text.to_vec()).unwrap()),
            Found::Broken(broken) => Err(broken),
            Found::End | Found::Reply(_) => panic!("raw texts have neither"),
        });
        texts.collect()
    }

    fn check(input: &str, expected: &[Result<&str, Broken>]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect();
        for chunk in 1..=input.len().max(1) {
            assert_eq!(
                found(input.as_bytes(), chunk),
                expected,
                "{chunk} at a time"
            );
        }
    }

    #[test]
    fn texts_are_found_however_they_are_laid_out() {
        check("", &[]);
        check(" \r\n\t\n", &[]);
        check("{\"a\":1}\n[2]\n", &[Ok("{\"a\":1}"), Ok("[2]")]);
        check("{}{}[]", &[Ok("{}"), Ok("{}"), Ok("[]")]);
        check("{\n  \"a\": [\n 1 ]\n}\n", &[Ok("{\n  \"a\": [\n 1 ]\n}")]);
        check(
            r#"{"a":"}]\"{\\"}{}"#,
            &[Ok(r#"{"a":"}]\"{\\"}"#), Ok("{}")],
        );
    }

    #[test]
    fn what_starts_with_no_bracket_ends_with_its_line() {
        check("12\n{}", &[Ok("12\n"), Ok("{}")]);
        check("POST / HTTP/1.1", &[Ok("POST / HTTP/1.1")]);
    }

    #[test]
    fn a_broken_text_is_left_behind_with_its_line() {
        check("{\"a\":\"b\n{}", &[Err(Broken::OpenString), Ok("{}")]);
        check("{\"a\":1", &[Err(Broken::Cut)]);
        check("{\"a", &[Err(Broken::Cut)]);
        let max_depth = BOUNDS.max_depth;
        let deep = format!("{}\n{{}}", "[".repeat(max_depth + 1));
        check(&deep, &[Err(Broken::Depth { max_depth }), Ok("{}")]);
        let long = format!("[\"{}\"]\n{{}}", "x".repeat(300));
        check(&long, &[Err(Broken::Size { max_bytes: 200 }), Ok("{}")]);
    }

    #[test]
    fn a_long_text_is_taken_whole_and_a_longer_one_is_not() {
        let max_bytes = 5 * PIECE_BYTES;
        let bounds = Bounds {
            max_bytes,
            ..BOUNDS
        };
        for (length, chunk) in [(max_bytes, 16 << 10), (max_bytes, 7), (max_bytes + 1, 9999)] {
            let text = format!("[\"{}\"]", "x".repeat(length - 4));
            let mut framer = JsonTexts::new(bounds);
            let mut found = Vec::new();
            for read in format!("{text}\n{{}}\n").as_bytes().chunks(chunk) {
                framer.buffer().extend_from_slice(read);
                found.extend(std::iter::from_fn(|| framer.next_found()));
                assert!(framer.held() < length + 3 * PIECE_BYTES);
            }
            let first = if length > max_bytes {
                Found::Broken(Broken::Size { max_bytes })
            } else {
                Found::Text(text.into())
            };
            assert_eq!(
                found,
                [first, Found::Text("{}".into())],
                "{chunk} at a time"
            );
            assert_eq!(framer.held(), 0);
        }
    }

    #[test]
    fn the_deepest_text_allowed_is_taken() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let deep = nested(BOUNDS.max_depth);
        assert_eq!(found(deep.as_bytes(), 512), [Ok(deep.clone())]);
        assert!(!is_deeper(deep.as_bytes(), BOUNDS.max_depth));
        let deeper = nested(BOUNDS.max_depth + 1);
        assert!(is_deeper(deeper.as_bytes(), BOUNDS.max_depth));
        for (text, deep) in [
            (r#"{"[[\"[[":[]}"#, false),
            ("[][][]", false),
            ("]]]", false),
            (r#"["\\",[[]]]"#, true),
        ] {
            assert_eq!(is_deeper(text.as_bytes(), 2), deep, "{text}");
        }
    }
}
