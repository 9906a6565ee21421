//! Bytes that wait, for the rest of a text or for their reader, in pieces.
//!
//! A single buffer would be copied whenever it grows, and leave a hole behind each time that nothing
//! else fits into: many of them cost far more memory than they hold. Pieces are given back one by one
//! as they are read.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

/// How large a piece is at most, in bytes: as much as is read at once.
pub(super) const PIECE_BYTES: usize = 16 << 10;

/// Bytes in the order in which they came.
#[derive(Default)]
pub struct Pieces {
    parts: VecDeque<Vec<u8>>,
    /// How much of the first piece was read.
    read: usize,
    len: usize,
}

impl Pieces {
    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much memory is held, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.parts.iter().map(Vec::capacity).sum()
    }

    /// Puts bytes behind those that have come, and one more. The first are a piece as they are, if they
    /// are short and have room for it: none is made to grow.
    pub fn push_and(&mut self, mut bytes: Vec<u8>, last: u8) {
        let (len, room) = (bytes.len(), bytes.capacity());
        if self.is_empty() && len < room && room <= PIECE_BYTES {
            bytes.push(last);
            self.len = bytes.len();
            self.parts.push_back(bytes);
            return;
        }
        if self.is_empty() {
            self.parts.push_back(piece(len + 1));
        }
        self.extend(&bytes);
        self.extend(&[last]);
    }

    /// Puts bytes behind those that have come. The first piece is as large as they are, each next
    /// one twice as large as the one before.
    pub fn extend(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            let last = self.parts.back_mut();
            let (size, room) = last.as_ref().map_or((0, 0), |last| {
                (last.capacity(), last.capacity() - last.len())
            });
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = last {
                last.extend_from_slice(now);
            }
            bytes = later;
            if !bytes.is_empty() {
                self.parts.push_back(piece(bytes.len().max(2 * size)));
            }
        }
    }

    /// Takes all of it as one.
    pub fn take_all(&mut self) -> Bytes {
        if self.parts.len() == 1 {
            let mut whole = self.parts.pop_front().map(Bytes::from).unwrap_or_default();
            whole.advance(self.read);
            self.clear();
            return whole;
        }
        let whole = self.copy_to_bytes(self.len);
        self.clear();
        whole
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Makes room for so many bytes, if they are not too many for one piece. The sizes are few, so that
/// what one piece leaves behind fits another; those of answers are mostly the same.
fn piece(bytes: usize) -> Vec<u8> {
    Vec::with_capacity(bytes.min(PIECE_BYTES).next_power_of_two())
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |it| &it[self.read..])
    }

    fn chunks_vectored<'a>(&'a self, chunks: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.read;
        let mut count = 0;
        for (chunk, piece) in chunks.iter_mut().zip(&self.parts) {
            *chunk = IoSlice::new(&piece[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.len, "no more is read than there is");
        self.len -= count;
        self.read += count;
        while let Some(first) = self.parts.front().filter(|it| it.len() <= self.read) {
            self.read -= first.len();
            self.parts.pop_front();
        }
        if self.parts.is_empty() {
            // Who has nothing to say keeps no memory.
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(part: usize) -> (Vec<u8>, Pieces) {
        let text: Vec<u8> = (0..=u8::MAX).cycle().take(4 * part + 7).collect();
        let mut pieces = Pieces::default();
        for part in text.chunks(part) {
            pieces.extend(part);
        }
        assert_eq!(pieces.len(), text.len());
        assert!(pieces.held() <= 2 * text.len() + PIECE_BYTES);
        assert!(pieces.parts.iter().all(|it| it.capacity() <= PIECE_BYTES));
        (text, pieces)
    }

    const PARTS: [usize; 6] = [
        1,
        1000,
        PIECE_BYTES - 1,
        PIECE_BYTES,
        PIECE_BYTES + 1,
        3 * PIECE_BYTES,
    ];

    #[test]
    fn what_comes_in_parts_is_taken_as_one() {
        for part in PARTS {
            let (text, mut pieces) = cut(part);
            assert_eq!(pieces.take_all(), text, "{part} at a time");
            assert!(pieces.is_empty() && pieces.held() == 0);
        }
    }

    #[test]
    fn what_is_short_is_a_piece_as_it_is() {
        let mut pieces = Pieces::default();
        let mut first = Vec::with_capacity(6);
        first.extend_from_slice(b"first");
        let at = first.as_ptr();
        pieces.push_and(first, b',');
        assert_eq!((pieces.chunk().as_ptr(), pieces.len()), (at, 6));
        pieces.push_and(Vec::from(b"second"), b'.');
        assert_eq!(pieces.take_all(), "first,second.");
        for len in [0, 5, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1] {
            pieces.push_and(vec![7; len], 7);
            assert!(pieces.parts.iter().all(|it| it.capacity() <= PIECE_BYTES));
            assert_eq!(pieces.take_all(), vec![7; len + 1]);
        }
    }

    #[test]
    fn what_is_read_in_parts_is_given_back() {
        for (part, read) in PARTS
            .into_iter()
            .zip([1, 70_000, 99, PIECE_BYTES, 5000, 999])
        {
            let (text, mut pieces) = cut(part);
            let mut seen = Vec::new();
            while !pieces.is_empty() {
                let mut chunks = [IoSlice::new(&[]); 3];
                let count = pieces.chunks_vectored(&mut chunks);
                assert_eq!(pieces.chunk(), &*chunks[0]);
                let chunks: Vec<&[u8]> = chunks[..count].iter().map(|it| &**it).collect();
                let chunks = chunks.concat();
                let read = read.min(chunks.len());
                seen.extend_from_slice(&chunks[..read]);
                pieces.advance(read);
                assert!(pieces.held() <= 2 * pieces.len() + 2 * PIECE_BYTES);
            }
            assert!(seen == text, "{read} at a time");
            assert_eq!(pieces.held(), 0);
        }
    }
}
