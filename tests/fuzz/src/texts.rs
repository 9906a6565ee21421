//! JSON texts in a stream of bytes: where the reads fall does not matter, memory has its bound, and
//! what `serde_json` takes for an object or an array is the text that is found.

use discordd::frame::{Bounds, Found, Framing as _, JsonTexts};
use serde_json::value::RawValue;

use super::support::{calls::depth, reads::cut};

/// How large a text may be: so little that the fuzzer comes to it.
const BOUNDS: Bounds = Bounds {
    max_bytes: 512,
    max_depth: 20,
};
/// Longest read, in bytes.
const MAX_READ_BYTES: usize = 1 << 16;

/// Checks one input: where to cut it, and the stream.
pub fn check(bytes: &[u8]) {
    let Some((input, reads)) = cut(bytes) else {
        return;
    };
    let whole = found_in(input);
    assert!(found(reads) == whole, "what is found depends on the reads");
    compare(input, &whole);
    for found in &whole {
        match found {
            Found::Broken(broken) => assert!(!broken.to_string().is_empty()),
            Found::Text(text) => assert!(!text.is_empty() && text.len() <= BOUNDS.max_bytes),
            Found::End | Found::Reply(_) => panic!("raw texts have neither"),
        }
    }
}

/// Everything found in a stream.
pub fn found_in(stream: &[u8]) -> Vec<Found> {
    found(stream.chunks(MAX_READ_BYTES))
}

/// Everything found in a stream that is read like this.
fn found<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Vec<Found> {
    found_with(reads, BOUNDS)
}

/// Everything found in a stream that is read like this, in texts within these bounds.
pub(crate) fn found_with<'a>(reads: impl Iterator<Item = &'a [u8]>, bounds: Bounds) -> Vec<Found> {
    let mut framer = JsonTexts::new(bounds);
    let mut found = Vec::new();
    for read in reads {
        framer.buffer().extend_from_slice(read);
        while let Some(next) = framer.next_found() {
            found.push(next);
            assert!(found.len() <= 1 << 20, "more was found than was read");
        }
        let held = framer.buffer();
        assert!(
            held.len() <= bounds.max_bytes,
            "{} bytes are held",
            held.len()
        );
        let room = bounds
            .max_bytes
            .saturating_add(read.len())
            .saturating_mul(4);
        assert!(
            held.capacity() <= room,
            "{} bytes are held",
            held.capacity()
        );
        assert!(framer.in_text() || framer.buffer().is_empty());
    }
    found.extend(framer.finish());
    assert!(framer.buffer().is_empty() && !framer.in_text());
    found
}

/// As long as there is one object or array after another, `serde_json` and the framer find the same
/// ones. A text that begins with no bracket is a whole line to the framer, and a value to `serde_json`.
fn compare(input: &[u8], found: &[Found]) {
    let values = serde_json::Deserializer::from_slice(input).into_iter::<&RawValue>();
    let mut found = found.iter();
    for value in values {
        let Ok(value) = value.map(RawValue::get) else {
            return;
        };
        let begins = value.starts_with(['{', '[']);
        if !begins || value.len() > BOUNDS.max_bytes || depth(value) > BOUNDS.max_depth {
            return;
        }
        match found.next() {
            Some(Found::Text(text)) => assert_eq!(text, value.as_bytes()),
            _ => panic!("{value} was not found"),
        }
    }
}
