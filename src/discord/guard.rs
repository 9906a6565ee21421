//! The guard: counts what Discord counts against this machine's address, and refuses a request
//! before Discord refuses them all.
//!
//! 10,000 answers of 401, 403 or 429 (but not of scope `shared`) in ten minutes, and Cloudflare keeps
//! the address out, with every bot behind it.
//! See <https://discord.com/developers/docs/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans>.
//!
//! It must not keep a token: of one that Discord refused it keeps a hash under a key of the process.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::StatusCode;
use tokio::time::Instant;

use super::{
    error::{Error, Guarded},
    peer::Peer,
    token::Token,
};
use crate::config;

/// How long Discord counts an answer, and the longest that anything is kept here but a ban.
const WINDOW: Duration = Duration::from_secs(600);
/// How many answers Discord allows an address in that time.
const DISCORDS_LIMIT: usize = 10_000;
/// How many of them the daemon takes; the rest is for whoever else is behind the address.
const LIMIT: usize = 9_000;
/// How long a token is not tried again after its first refusal. After a further one it is not for
/// as long as anything is kept: Discord has been known to refuse good ones for a moment.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// How long to wait when the requests under way may use up what is left.
const MOMENT: Duration = Duration::from_millis(100);

/// Counts, and lets through or not.
pub(super) struct Guard {
    on: bool,
    share: usize,
    key: RandomState,
    state: Mutex<State>,
}

/// How the guard is, as one peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardState {
    /// Whether it counts at all.
    pub on: bool,
    /// Answers counted in the last ten minutes.
    pub counted: usize,
    /// How many there may be before everyone is refused.
    pub limit: usize,
    /// How many of them are the peer's.
    pub peer_counted: usize,
    /// How many the peer may have.
    pub peer_limit: usize,
    /// How long Cloudflare asked this address to stay away.
    pub banned_for: Option<Duration>,
}

/// Leave to send one request.
pub(super) struct Permit {
    guard: Arc<Guard>,
    peer: Peer,
    token: u64,
    since: Instant,
}

#[derive(Default)]
struct State {
    /// Every answer counted, oldest first.
    counted: VecDeque<(Instant, Peer)>,
    under_way: usize,
    peers: HashMap<Peer, Account>,
    /// Tokens that Discord refused, by their hashes, and when that was, oldest first.
    tokens: HashMap<u64, Refusal>,
    refusals: VecDeque<(Instant, u64)>,
    banned_until: Option<Instant>,
}

/// What one peer has used of its share.
#[derive(Default)]
struct Account {
    counted: VecDeque<Instant>,
    under_way: usize,
}

struct Refusal {
    at: Instant,
    pause: Duration,
}

impl Guard {
    pub(super) fn new(settings: &config::Discord) -> Self {
        Self {
            on: settings.guard,
            share: DISCORDS_LIMIT * settings.guard_share / 100,
            key: RandomState::new(),
            state: Mutex::default(),
        }
    }

    /// Asks for leave to send one request of `peer` under `token`.
    ///
    /// # Errors
    ///
    /// When it would, or might, be one refusal too many.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer, token: &Token) -> Result<Permit, Error> {
        let token = self.key.hash_one(token.expose());
        let since = Instant::now();
        if self.on {
            let mut state = self.lock();
            state.forget(since);
            state.look(since, peer, token, self.share)?;
            state.begin(peer);
        }
        Ok(Permit {
            guard: Arc::clone(self),
            peer,
            token,
            since,
        })
    }

    /// Whether a request of `peer` under `token` would not get leave now.
    pub(super) fn refuses(&self, peer: Peer, token: &Token) -> bool {
        let now = Instant::now();
        let token = self.key.hash_one(token.expose());
        self.on && {
            let mut state = self.lock();
            state.forget(now);
            state.look(now, peer, token, self.share).is_err()
        }
    }

    /// Takes note that Cloudflare asks this address to stay away.
    pub(super) fn ban(&self, wait: Duration) {
        if self.on {
            let until = Instant::now() + wait;
            let mut state = self.lock();
            state.banned_until = state.banned_until.max(Some(until));
        }
    }

    /// Tells `peer` how it stands.
    pub(super) fn state(&self, peer: Peer) -> GuardState {
        let now = Instant::now();
        let mut state = self.lock();
        state.forget(now);
        let account = state.peers.get(&peer);
        GuardState {
            on: self.on,
            counted: state.counted.len(),
            limit: LIMIT,
            peer_counted: account.map_or(0, |account| account.counted.len()),
            peer_limit: self.share.min(LIMIT),
            banned_for: state.banned_until.map(|until| until - now),
        }
    }

    /// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Takes note of what Discord answered; `shared` says that a 429 is not held against anybody.
    pub(super) fn answered(&self, status: StatusCode, shared: bool) {
        if !self.guard.on {
            return;
        }
        let now = Instant::now();
        let mut state = self.guard.lock();
        match status {
            StatusCode::UNAUTHORIZED => {
                state.count(now, self.peer);
                state.refused(now, self.token, self.since);
            }
            StatusCode::FORBIDDEN => state.count(now, self.peer),
            StatusCode::TOO_MANY_REQUESTS if !shared => state.count(now, self.peer),
            _ if status.is_success() => {
                state.tokens.remove(&self.token);
            }
            _ => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.guard.on {
            self.guard.lock().end(self.peer);
        }
    }
}

impl State {
    /// Forgets what is older than Discord's own memory.
    fn forget(&mut self, now: Instant) {
        while let Some((_, peer)) = pop_old(&mut self.counted, now) {
            if let Some(account) = self.peers.get_mut(&peer) {
                account.counted.pop_front();
            }
            self.drop_if_unused(peer);
        }
        while let Some((at, token)) = pop_old(&mut self.refusals, now) {
            if self.tokens.get(&token).is_some_and(|last| last.at == at) {
                self.tokens.remove(&token);
            }
        }
        self.banned_until = self.banned_until.filter(|until| *until > now);
    }

    /// Looks for a reason not to send.
    fn look(&self, now: Instant, peer: Peer, token: u64, share: usize) -> Result<(), Error> {
        let refuse = |why, retry_after| Err(Error::guarded(why, retry_after));
        if let Some(until) = self.banned_until {
            return refuse(Guarded::Banned, until - now);
        }
        if let Some(refusal) = self.tokens.get(&token) {
            let until = refusal.at + refusal.pause;
            if until > now {
                return refuse(Guarded::Token, until - now);
            }
        }
        let left = |at: Instant| (at + WINDOW).saturating_duration_since(now);
        if let Some(account) = self.peers.get(&peer) {
            let (counted, under_way) = (account.counted.len(), account.under_way);
            if let Some(first) = counted.checked_sub(share) {
                return refuse(Guarded::Share, left(account.counted[first]));
            }
            if counted + under_way >= share {
                return refuse(Guarded::Crowded, MOMENT);
            }
        }
        let counted = self.counted.len();
        if let Some(first) = counted.checked_sub(LIMIT) {
            return refuse(Guarded::Limit, left(self.counted[first].0));
        }
        if counted + self.under_way >= LIMIT {
            return refuse(Guarded::Crowded, MOMENT);
        }
        Ok(())
    }

    fn begin(&mut self, peer: Peer) {
        self.under_way += 1;
        self.peers.entry(peer).or_default().under_way += 1;
    }

    fn end(&mut self, peer: Peer) {
        self.under_way -= 1;
        if let Some(account) = self.peers.get_mut(&peer) {
            account.under_way -= 1;
        }
        self.drop_if_unused(peer);
    }

    fn count(&mut self, now: Instant, peer: Peer) {
        self.counted.push_back((now, peer));
        let account = self.peers.entry(peer).or_default();
        account.counted.push_back(now);
    }

    /// Takes note of a token that was refused when it was asked about `since` then.
    fn refused(&mut self, now: Instant, token: u64, since: Instant) {
        let pause = match self.tokens.get(&token) {
            // Of several requests at once each is refused, and that is no new refusal.
            Some(before) if since <= before.at => before.pause,
            Some(_) => WINDOW,
            None => FIRST_PAUSE,
        };
        self.tokens.insert(token, Refusal { at: now, pause });
        self.refusals.push_back((now, token));
    }

    fn drop_if_unused(&mut self, peer: Peer) {
        let unused = |account: &Account| account.under_way == 0 && account.counted.is_empty();
        if self.peers.get(&peer).is_some_and(unused) {
            self.peers.remove(&peer);
        }
    }
}

/// Takes the first of a queue if it is older than Discord's own memory.
fn pop_old<T>(queue: &mut VecDeque<(Instant, T)>, now: Instant) -> Option<(Instant, T)> {
    let (at, _) = queue.front()?;
    let old = now.saturating_duration_since(*at) >= WINDOW;
    old.then(|| queue.pop_front()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: usize = 2_000;
    const ONE: Peer = Peer::Unix { door: 0, uid: 1 };
    const OTHER: Peer = Peer::Unix { door: 0, uid: 2 };

    fn refused(state: &State, now: Instant, peer: Peer, token: u64) -> Option<(Guarded, Duration)> {
        match state.look(now, peer, token, SHARE) {
            Ok(()) => None,
            Err(Error::Guarded {
                why, retry_after, ..
            }) => Some((why, retry_after)),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_peer_over_its_share_waits_until_its_oldest_is_forgotten() {
        let (mut state, begun) = (State::default(), Instant::now());
        let second = Duration::from_secs(1);
        state.count(begun, ONE);
        for _ in 2..SHARE {
            state.count(begun + second, ONE);
        }
        let now = begun + second * 10;
        assert_eq!(refused(&state, now, ONE, 0), None);
        state.begin(ONE);
        let crowded = Some((Guarded::Crowded, MOMENT));
        assert_eq!(refused(&state, now, ONE, 0), crowded);
        state.count(now, ONE);
        state.end(ONE);
        let wait = Some((Guarded::Share, second * 590));
        assert_eq!(refused(&state, now, ONE, 0), wait);
        assert_eq!(refused(&state, now, OTHER, 0), None);
        let later = begun + WINDOW;
        state.forget(later);
        assert_eq!(refused(&state, later, ONE, 0), None);
    }

    #[test]
    fn near_the_limit_everyone_waits_and_nothing_is_kept_after_the_window() {
        let (mut state, now) = (State::default(), Instant::now());
        for number in 0..LIMIT {
            let uid = u32::try_from(number).unwrap();
            state.count(now, Peer::Unix { door: 0, uid });
        }
        let newcomer = Peer::tcp([192, 0, 2, 1].into());
        let wait = Some((Guarded::Limit, WINDOW));
        assert_eq!(refused(&state, now, newcomer, 0), wait);
        state.forget(now + WINDOW);
        assert_eq!(refused(&state, now + WINDOW, newcomer, 0), None);
        assert!(state.peers.is_empty() && state.counted.is_empty());
    }

    #[test]
    fn a_refused_token_pauses_and_pauses_longer_when_refused_again() {
        let (mut state, now) = (State::default(), Instant::now());
        state.refused(now, 7, now);
        state.refused(now + MOMENT, 7, now);
        let now = now + MOMENT;
        let wait = Some((Guarded::Token, FIRST_PAUSE));
        assert_eq!(refused(&state, now, ONE, 7), wait);
        assert_eq!(refused(&state, now, ONE, 8), None);
        let again = now + FIRST_PAUSE;
        assert_eq!(refused(&state, again, ONE, 7), None);
        state.refused(again, 7, again);
        state.forget(again + FIRST_PAUSE);
        let wait = Some((Guarded::Token, WINDOW.saturating_sub(FIRST_PAUSE)));
        assert_eq!(refused(&state, again + FIRST_PAUSE, ONE, 7), wait);
        state.forget(again + WINDOW);
        assert_eq!(refused(&state, again + WINDOW, ONE, 7), None);
        assert!(state.tokens.is_empty() && state.refusals.is_empty());
    }
}
