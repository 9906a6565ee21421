//! What connections hold of unfinished input, unread answers and long calls, counted over all of them.
//!
//! Each connection is bounded by itself, and many together would still be too much. When the room is
//! used up, whoever holds the most gives way, of equals the oldest: a caller whose text is short and
//! comes soon, or who reads, is never the one. Calls under way give way to nobody: they have half of
//! the room, and one that finds none there does not begin. It counts bytes, and does not know whose
//! they are.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// What is not worth counting, in bytes: a few short texts, and what every connection has.
const FREE_BYTES: usize = 4 << 10;
/// Whoever holds less than this, in bytes, holds as much as others who do, and so on in steps.
const EQUAL_BYTES: usize = 64 << 10;
/// How much more somebody who never waits may hold before it is counted, in bytes.
const STEP_BYTES: usize = 32 << 10;

/// The room that all connections share.
pub struct Memory {
    limit: usize,
    state: Mutex<State>,
}

/// What one connection holds of it; dropping it gives it back. One that holds nothing costs nothing.
pub struct Hold {
    memory: Arc<Memory>,
    held: Option<Held>,
}

/// What a call under way holds of it; dropping it gives it back.
pub struct Kept {
    memory: Arc<Memory>,
    bytes: usize,
    counted: usize,
}

/// There is no room, and nobody who would have to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many bytes there are in all.
    pub limit: usize,
}

struct Held {
    bytes: usize,
    /// Since when, among all.
    number: u64,
    notice: Arc<Notice>,
}

/// Tells a holder to give way.
#[derive(Default)]
struct Notice {
    given: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Default)]
struct State {
    /// Without what is held by those who were told to give way.
    used: usize,
    /// How much of it is kept.
    kept: usize,
    /// What is held by those who were told to give way and are not gone.
    leaving: usize,
    next: u64,
    /// Whoever holds something and was not told to give way; the largest last, of equals the oldest.
    holders: BTreeMap<(usize, Reverse<u64>), (usize, Arc<Notice>)>,
}

impl Memory {
    /// Makes room for `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            state: Mutex::default(),
        })
    }

    /// A connection that holds nothing yet.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            memory: Arc::clone(self),
            held: None,
        }
    }

    /// A call under way that keeps nothing yet.
    #[must_use]
    pub fn kept(self: &Arc<Self>) -> Kept {
        Kept {
            memory: Arc::clone(self),
            bytes: 0,
            counted: 0,
        }
    }

    /// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Holds so many bytes from now on.
    ///
    /// # Errors
    ///
    /// When there is no room for them and nobody holds more, or this one was told to give way. It
    /// then holds nothing.
    pub fn set(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = if bytes > FREE_BYTES { bytes } else { 0 };
        if bytes == self.bytes() && !self.is_told() {
            return Ok(());
        }
        let limit = self.memory.limit;
        let mut state = self.memory.state();
        let taken = self.held.take().map(|held| (state.release(&held), held));
        if bytes == 0 {
            return Ok(());
        }
        let (number, notice) = match taken {
            // Others have its room already.
            Some((false, _)) => return Err(Full { limit }),
            Some((true, held)) => (held.number, held.notice),
            None => state.enter(),
        };
        if !state.make_room(bytes, bytes, limit) {
            return Err(Full { limit });
        }
        state.used += bytes;
        let key = (bytes / EQUAL_BYTES, Reverse(number));
        state.holders.insert(key, (bytes, Arc::clone(&notice)));
        self.held = Some(Held {
            bytes,
            number,
            notice,
        });
        Ok(())
    }

    /// Holds so many bytes while it goes on: of somebody who never waits it is counted in steps.
    ///
    /// # Errors
    ///
    /// As [`Self::set`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if bytes >= self.bytes() + STEP_BYTES || self.is_told() {
            self.set(bytes)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes)
    }

    fn is_told(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.notice.is_given())
    }

    /// Holds so many bytes while everything else waits; ends when this one has to give way.
    pub async fn rest(&mut self, bytes: usize) -> Full {
        poll_fn(|cx| self.poll_rest(cx, bytes)).await
    }

    /// As [`Self::rest`].
    pub fn poll_rest(&mut self, cx: &Context<'_>, bytes: usize) -> Poll<Full> {
        if let Err(full) = self.set(bytes) {
            return Poll::Ready(full);
        }
        let Some(held) = &self.held else {
            return Poll::Pending;
        };
        held.notice.waker.register(cx.waker());
        // It may have come before anybody waited for it.
        if held.notice.is_given() {
            let limit = self.memory.limit;
            return Poll::Ready(Full { limit });
        }
        Poll::Pending
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.memory.state().release(&held);
        }
    }
}

impl Kept {
    /// Keeps so many bytes more.
    ///
    /// # Errors
    ///
    /// When calls under way have no room for them. It then keeps what it did.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        self.bytes += bytes;
        if self.bytes <= FREE_BYTES {
            return Ok(());
        }
        let more = self.bytes - self.counted;
        let limit = self.memory.limit;
        if !self.memory.state().keep(more, limit) {
            self.bytes -= bytes;
            return Err(Full { limit });
        }
        self.counted = self.bytes;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.counted > 0 {
            let mut state = self.memory.state();
            state.used -= self.counted;
            state.kept -= self.counted;
        }
    }
}

impl Notice {
    fn is_given(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }
}

impl State {
    fn enter(&mut self) -> (u64, Arc<Notice>) {
        self.next += 1;
        (self.next, Arc::default())
    }

    /// Gives back what somebody held; false if others have it already.
    fn release(&mut self, held: &Held) -> bool {
        let key = (held.bytes / EQUAL_BYTES, Reverse(held.number));
        let was_there = self.holders.remove(&key).is_some();
        if was_there {
            self.used -= held.bytes;
        } else {
            self.leaving -= held.bytes;
        }
        was_there
    }

    /// Gives calls under way so many bytes more, if they are not more than half of all.
    fn keep(&mut self, bytes: usize, limit: usize) -> bool {
        let has_room = self.kept + bytes <= limit / 2 && self.make_room(bytes, 0, limit);
        if has_room {
            self.used += bytes;
            self.kept += bytes;
        }
        has_room
    }

    /// Tells the largest to give way until there is room for `bytes`; false if none is as large as
    /// `smallest`, or too many were told and are not gone.
    fn make_room(&mut self, bytes: usize, smallest: usize, limit: usize) -> bool {
        while self.used + bytes > limit {
            let largest = self.holders.last_entry();
            let Some(largest) = largest.filter(|it| it.key().0 >= smallest / EQUAL_BYTES) else {
                return false;
            };
            if self.leaving > limit / 2 {
                return false;
            }
            let (freed, notice) = largest.remove();
            self.used -= freed;
            self.leaving += freed;
            notice.given.store(true, Ordering::Release);
            notice.waker.wake();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn whoever_holds_most_gives_way_and_of_equals_the_oldest() {
        let limit = 1000 * KIB;
        let memory = Memory::new(limit);
        let mut holds: Vec<Hold> = (0..5).map(|_| memory.hold()).collect();
        for (hold, kib) in holds.iter_mut().zip([300, 400, 310, 1]) {
            assert_eq!(hold.set(kib * KIB), Ok(()));
        }
        assert_eq!(holds[3].set(200 * KIB), Ok(()));
        assert!(holds[1].is_told());
        assert_eq!(holds[4].set(300 * KIB), Ok(()));
        assert!(holds[0].is_told() && !holds[2].is_told());
        assert_eq!(memory.state().leaving, 700 * KIB);
        // Whoever would be the largest is the one that is refused.
        assert_eq!(holds[3].set(500 * KIB), Err(Full { limit }));
        assert_eq!(holds[1].set(100 * KIB), Err(Full { limit }));
        assert_eq!(holds[1].set(100 * KIB), Ok(()));
        assert_eq!(memory.state().used, 710 * KIB);
        holds.clear();
        let state = memory.state();
        assert_eq!((state.used, state.leaving, state.holders.len()), (0, 0, 0));
    }

    #[test]
    fn whoever_never_waits_is_counted_in_steps() {
        let memory = Memory::new(100 * KIB);
        let (mut busy, mut other) = (memory.hold(), memory.hold());
        assert_eq!(busy.grow(STEP_BYTES - 1), Ok(()));
        assert_eq!(memory.state().used, 0);
        assert_eq!(busy.grow(STEP_BYTES + 1), Ok(()));
        assert_eq!(memory.state().used, STEP_BYTES + 1);
        assert_eq!(busy.grow(90 * KIB), Ok(()));
        assert_eq!(other.set(20 * KIB), Ok(()));
        assert!(busy.grow(90 * KIB).is_err());
    }

    #[test]
    fn nobody_comes_while_too_many_are_leaving() {
        let memory = Memory::new(100 * KIB);
        let mut holds: Vec<Hold> = (0..3).map(|_| memory.hold()).collect();
        for hold in &mut holds[..2] {
            assert_eq!(hold.set(90 * KIB), Ok(()));
        }
        assert!(holds[2].set(90 * KIB).is_err());
        holds.remove(0);
        assert_eq!(holds[1].set(90 * KIB), Ok(()));
    }

    #[test]
    fn calls_under_way_have_half_and_give_way_to_nobody() {
        let limit = 100 * KIB;
        let memory = Memory::new(limit);
        let (mut one, mut other) = (memory.kept(), memory.kept());
        let (mut large, mut small) = (memory.hold(), memory.hold());
        assert_eq!(small.set(5 * KIB), Ok(()));
        assert_eq!(large.set(90 * KIB), Ok(()));
        assert_eq!(one.grow(4 * KIB), Ok(()));
        assert!(!large.is_told(), "it is too little to be counted");
        assert_eq!(one.grow(40 * KIB), Ok(()));
        assert!(large.is_told() && !small.is_told());
        assert_eq!(other.grow(7 * KIB), Err(Full { limit }));
        assert_eq!(other.grow(6 * KIB), Ok(()));
        assert!(large.set(90 * KIB).is_err());
        assert_eq!(large.set(45 * KIB), Ok(()));
        drop(one);
        assert_eq!(other.grow(7 * KIB), Ok(()));
        drop((other, large, small));
        let state = memory.state();
        assert_eq!((state.used, state.kept, state.leaving), (0, 0, 0));
    }

    #[tokio::test]
    async fn whoever_rests_is_woken_to_give_way() {
        let limit = 10 * KIB;
        let memory = Memory::new(limit);
        let mut one = memory.hold();
        let resting = tokio::spawn(async move { one.rest(9 * KIB).await });
        while memory.state().used == 0 {
            tokio::task::yield_now().await;
        }
        let mut other = memory.hold();
        assert_eq!(other.set(5 * KIB), Ok(()));
        assert_eq!(resting.await.unwrap(), Full { limit });
        assert_eq!(memory.state().used, 5 * KIB);
    }
}
