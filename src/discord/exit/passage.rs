//! A call's way through the exit: a key that stands for its token, for as long as the call lasts.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use subtle::ConstantTimeEq;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::Span;

use super::upstream::Upstream;
use crate::discord::{
    error::{Cause, Error, Scope},
    peer::Peer,
    progress::Progress,
    token::Token,
};

/// Hexadecimal digits of a key that say which call it is; the rest are its secret.
const NAME_DIGITS: usize = 16;

/// The calls under way, found by their keys.
#[derive(Default)]
pub(super) struct Passages {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Slot>>>,
}

/// What the exit knows of one call.
pub(super) struct Slot {
    secret: String,
    pub(super) token: Token,
    pub(super) peer: Peer,
    pub(super) deadline: Instant,
    pub(super) progress: Progress,
    /// The call as the log tells of it.
    pub(super) span: Span,
    /// How often a request was sent.
    pub(super) attempts: AtomicU64,
    /// Cancelled when nobody waits for the call any more.
    pub(super) ended: CancellationToken,
    repeatable: AtomicBool,
    limited: Mutex<Limited>,
    traffic: Mutex<Traffic>,
    failures: Mutex<Vec<Option<Error>>>,
    idle: Mutex<Vec<Upstream>>,
    connecting: Mutex<Option<Connecting>>,
}

/// A connection that comes up before there is a request for it.
pub(super) type Connecting = AbortOnDropHandle<Result<Upstream, Cause>>;

/// The limits that held for every request of a call.
#[derive(Default)]
struct Limited {
    last: Option<(Scope, Instant)>,
    times: usize,
}

/// How many of a call's requests came to the exit, and whether any more may.
#[derive(Default)]
struct Traffic {
    begun: u64,
    closed: bool,
}

/// A call's way through the exit. Dropping it forgets the token and closes the connections.
pub(in crate::discord) struct Passage {
    name: u64,
    slot: Arc<Slot>,
    passages: Arc<Passages>,
}

impl Passages {
    /// Opens a way for one call.
    pub(super) fn admit(
        self: &Arc<Self>,
        token: Token,
        peer: Peer,
        deadline: Instant,
        progress: Progress,
    ) -> Passage {
        let name = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot {
            secret: secret(),
            token,
            peer,
            deadline,
            progress,
            span: Span::current(),
            attempts: AtomicU64::new(0),
            ended: CancellationToken::new(),
            repeatable: AtomicBool::new(false),
            limited: Mutex::default(),
            traffic: Mutex::default(),
            failures: Mutex::default(),
            idle: Mutex::default(),
            connecting: Mutex::default(),
        });
        lock(&self.open).insert(name, Arc::clone(&slot));
        Passage {
            name,
            slot,
            passages: Arc::clone(self),
        }
    }

    /// Finds the call that `key` stands for, in a time that says nothing of its secret.
    pub(super) fn find(&self, key: &str) -> Option<Arc<Slot>> {
        let (name, secret) = key.split_at_checked(NAME_DIGITS)?;
        let name = u64::from_str_radix(name, 16).ok()?;
        let slot = lock(&self.open).get(&name).cloned()?;
        let same = slot.secret.as_bytes().ct_eq(secret.as_bytes());
        bool::from(same).then_some(slot)
    }
}

impl Slot {
    /// Begins a request; false if the call has given up and nothing may be sent for it any more.
    pub(super) fn begin(&self) -> bool {
        let mut traffic = lock(&self.traffic);
        traffic.begun += 1;
        !traffic.closed
    }

    /// Whether what the call changes may be asked for again although it may have been done.
    pub(super) fn repeatable(&self) -> bool {
        self.repeatable.load(Ordering::Relaxed)
    }

    /// Takes note of a limit that holds for every request of the call until then.
    pub(super) fn limit_all(&self, scope: Scope, until: Instant) {
        let mut limited = lock(&self.limited);
        // Requests that are under way at once are told of one limit.
        let known = limited.last.is_some_and(|(_, last)| last > Instant::now());
        limited.times += usize::from(!known);
        if limited.last.is_none_or(|(_, last)| last < until) {
            limited.last = Some((scope, until));
        }
    }

    /// The last limit that held for every request of the call, and until when.
    pub(super) fn limit_of_all(&self) -> Option<(Scope, Instant)> {
        lock(&self.limited).last
    }

    /// How many such limits there were, one after another.
    pub(super) fn times_limited(&self) -> usize {
        lock(&self.limited).times
    }

    /// Keeps why a request failed, and gives the number under which it is found.
    pub(super) fn keep_failure(&self, error: Error) -> usize {
        let mut failures = lock(&self.failures);
        failures.push(Some(error));
        failures.len() - 1
    }

    /// Gives back a connection that one request of the call is done with.
    pub(super) fn keep_idle(&self, upstream: Upstream) {
        lock(&self.idle).push(upstream);
    }

    /// Takes a connection of this call that nothing is using.
    pub(super) fn take_idle(&self) -> Option<Upstream> {
        lock(&self.idle).pop()
    }

    /// Keeps a connection that comes up until the first request takes it.
    pub(super) fn keep_connecting(&self, connecting: Connecting) {
        *lock(&self.connecting) = Some(connecting);
    }

    /// Takes that connection, if nobody has.
    pub(super) fn take_connecting(&self) -> Option<Connecting> {
        lock(&self.connecting).take()
    }
}

impl Passage {
    /// What the exit knows of the call.
    pub(super) fn slot(&self) -> &Slot {
        &self.slot
    }

    /// What twilight is given in place of the token.
    pub(in crate::discord) fn key(&self) -> String {
        format!("{:016x}{}", self.name, self.slot.secret)
    }

    /// When the call's time is over.
    pub(in crate::discord) fn deadline(&self) -> Instant {
        self.slot.deadline
    }

    /// Says whether what the call changes next may be asked for again although it may have been done.
    pub(in crate::discord) fn set_repeatable(&self, repeatable: bool) {
        self.slot.repeatable.store(repeatable, Ordering::Relaxed);
    }

    /// How many requests of the call have come to the exit.
    pub(in crate::discord) fn begun(&self) -> u64 {
        lock(&self.slot.traffic).begun
    }

    /// Gives up: true if no request has come since there were `before`, and then none will be sent.
    pub(in crate::discord) fn close_unless_begun(&self, before: u64) -> bool {
        let mut traffic = lock(&self.slot.traffic);
        let unused = traffic.begun == before;
        traffic.closed |= unused;
        unused
    }

    /// Takes the failure that the exit kept under `number`.
    pub(in crate::discord) fn failure(&self, number: u64) -> Option<Error> {
        let number = usize::try_from(number).ok()?;
        lock(&self.slot.failures).get_mut(number)?.take()
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let attempts = self.slot.attempts.load(Ordering::Relaxed);
        self.slot.span.record("attempts", attempts);
        lock(&self.passages.open).remove(&self.name);
        self.slot.ended.cancel();
        lock(&self.slot.idle).clear();
        self.slot.take_connecting();
    }
}

/// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text that cannot be guessed: 256 random bits in hexadecimal.
fn secret() -> String {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).expect("the kernel has randomness once the system is up");
    let (high, low) = bytes.split_at(16);
    let number = |half: &[u8]| u128::from_ne_bytes(half.try_into().expect("half of 32 is 16"));
    format!("{:032x}{:032x}", number(high), number(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(passages: &Arc<Passages>) -> Passage {
        let token = Token::parse("made-up").unwrap();
        passages.admit(token, Peer::Own, Instant::now(), Progress::default())
    }

    #[tokio::test]
    async fn a_key_finds_its_own_call_until_it_ends() {
        let passages = Arc::new(Passages::default());
        let (first, second) = (admit(&passages), admit(&passages));
        assert!(Arc::ptr_eq(
            &passages.find(&first.key()).unwrap(),
            &first.slot
        ));
        assert!(Arc::ptr_eq(
            &passages.find(&second.key()).unwrap(),
            &second.slot
        ));
        let key = first.key();
        drop(first);
        assert!(passages.find(&key).is_none());
    }

    #[tokio::test]
    async fn a_key_with_a_wrong_secret_finds_nothing() {
        let passages = Arc::new(Passages::default());
        let (first, second) = (admit(&passages), admit(&passages));
        let mixed = format!("{}{}", &first.key()[..16], &second.key()[16..]);
        for key in ["", "0", "Bot", &first.key()[..16], &mixed, &"é".repeat(9)] {
            assert!(passages.find(key).is_none(), "{key}");
        }
    }
}
