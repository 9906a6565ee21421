//! What connections hold of unfinished input and unread answers, counted over all of them.
//!
//! Each connection is bounded by itself, and many together would still be too much. When the room is
//! used up, whoever holds the most gives way, of equals the oldest: a caller whose text is short, or
//! who reads, is never the one. It counts bytes, and does not know whose they are.

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

/// There is no room, and nobody who holds more.
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
    used: usize,
    next: u64,
    /// Whoever holds something and was not told to give way; the largest last, of equals the oldest.
    holders: BTreeMap<(usize, Reverse<u64>), Arc<Notice>>,
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
        let before = self.held.as_ref().map_or(0, |held| held.bytes);
        let told = self
            .held
            .as_ref()
            .is_some_and(|held| held.notice.is_given());
        if bytes == before && !told {
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
        if !state.make_room(bytes, limit) {
            return Err(Full { limit });
        }
        state.used += bytes;
        let key = (bytes, Reverse(number));
        state.holders.insert(key, Arc::clone(&notice));
        self.held = Some(Held {
            bytes,
            number,
            notice,
        });
        Ok(())
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
        let key = (held.bytes, Reverse(held.number));
        let was_there = self.holders.remove(&key).is_some();
        if was_there {
            self.used -= held.bytes;
        }
        was_there
    }

    /// Tells the largest to give way until there is room for `bytes`; false if none is as large.
    fn make_room(&mut self, bytes: usize, limit: usize) -> bool {
        if bytes > limit {
            return false;
        }
        while self.used + bytes > limit {
            let Some(largest) = self.holders.last_entry().filter(|it| it.key().0 >= bytes) else {
                return false;
            };
            let ((freed, _), notice) = largest.remove_entry();
            self.used -= freed;
            notice.given.store(true, Ordering::Release);
            notice.waker.wake();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn must_go(hold: &Hold) -> bool {
        hold.held
            .as_ref()
            .is_some_and(|held| held.notice.is_given())
    }

    #[test]
    fn whoever_holds_most_gives_way_and_of_equals_the_oldest() {
        let memory = Memory::new(100);
        let mut holds: Vec<Hold> = (0..5).map(|_| memory.hold()).collect();
        for (hold, bytes) in holds.iter_mut().zip([30, 40, 30, 0]) {
            assert_eq!(hold.set(bytes), Ok(()));
        }
        assert_eq!(holds[3].set(20), Ok(()));
        assert!(must_go(&holds[1]));
        assert_eq!(holds[4].set(30), Ok(()));
        assert!(must_go(&holds[0]) && !must_go(&holds[2]));
        // Whoever would be the largest is the one that is refused.
        assert_eq!(holds[3].set(50), Err(Full { limit: 100 }));
        assert_eq!(holds[1].set(10), Err(Full { limit: 100 }));
        assert_eq!(holds[1].set(10), Ok(()));
        assert_eq!(memory.state().used, 70);
        holds.clear();
        let state = memory.state();
        assert_eq!((state.used, state.holders.len()), (0, 0));
    }

    #[tokio::test]
    async fn whoever_rests_is_woken_to_give_way() {
        let memory = Memory::new(10);
        let mut one = memory.hold();
        let resting = tokio::spawn(async move { one.rest(9).await });
        while memory.state().used == 0 {
            tokio::task::yield_now().await;
        }
        let mut other = memory.hold();
        assert_eq!(other.set(5), Ok(()));
        assert_eq!(resting.await.unwrap(), Full { limit: 10 });
        assert_eq!(memory.state().used, 5);
    }
}
