//! A text that is long and has not come whole, in pieces of one size.
//!
//! A single buffer would be copied whenever it grows, and leave a hole behind each time that nothing
//! else fits into: many of them cost far more memory than they hold.

use bytes::{Bytes, BytesMut};

/// How large a piece is, in bytes.
pub(super) const PIECE_BYTES: usize = 32 << 10;

/// The beginning of a text.
#[derive(Default)]
pub struct Pieces {
    pieces: Vec<BytesMut>,
    len: usize,
}

impl Pieces {
    /// How much has come, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much memory is held, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pieces.iter().map(BytesMut::capacity).sum()
    }

    /// Puts bytes behind those that have come.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let room = self.pieces.last().map_or(0, |it| PIECE_BYTES - it.len());
            if room == 0 {
                // A text that is short takes no more than it needs.
                let size = if self.pieces.is_empty() {
                    bytes.len()
                } else {
                    PIECE_BYTES
                };
                self.pieces
                    .push(BytesMut::with_capacity(size.min(PIECE_BYTES)));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = self.pieces.last_mut() {
                last.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// Takes all of it as one.
    pub fn take(&mut self) -> Bytes {
        let len = std::mem::take(&mut self.len);
        let mut pieces = std::mem::take(&mut self.pieces);
        if pieces.len() == 1 {
            return pieces.remove(0).freeze();
        }
        let mut whole = BytesMut::with_capacity(len);
        for piece in pieces {
            whole.extend_from_slice(&piece);
        }
        whole.freeze()
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_parts_is_taken_as_one() {
        for part in [
            1,
            1000,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            3 * PIECE_BYTES,
        ] {
            let text: Vec<u8> = (0..=u8::MAX).cycle().take(4 * part + 7).collect();
            let mut pieces = Pieces::default();
            for part in text.chunks(part) {
                pieces.extend(part);
            }
            assert_eq!(pieces.len(), text.len());
            assert!(pieces.held() < text.len() + 2 * PIECE_BYTES);
            assert_eq!(pieces.take(), text, "{part} at a time");
            assert!(pieces.is_empty() && pieces.held() == 0);
        }
    }
}
