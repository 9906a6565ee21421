//! Whoever connects to the exit's port and has not shown a key: bounded in number and in time, so that
//! none of them keeps our own clients out.
//!
//! Anybody in the same network namespace may connect. Our own clients send their key at once, so what
//! has been silent for the longest is none of theirs, and goes when there are too many. Nothing is
//! read of a stranger: his bytes are looked at where they are, in the kernel.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, ready},
    time::Duration,
};

use tokio::{
    io::ReadBuf,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::passage::{Passages, Slot};

/// Most that there may be before the oldest goes.
const MANY: usize = 1024;
/// What part of the descriptors they may have: one in so many.
const SHARE: usize = 16;
/// How many times as many there may be at all.
const TOO_MANY: usize = 4;
/// How old one must be to go as long as there are not too many: that many calls of our own may begin
/// at once.
const YOUNG: Duration = Duration::from_millis(10);
/// How long whoever connects may take to show a key.
const TIME: Duration = Duration::from_secs(2);
/// How far into a request the key is looked for, in bytes. The path of a request comes before it.
const HEAD_BYTES: usize = 4 << 10;
/// When it is looked again whether more has come of a request. Those of our own clients come in one
/// piece.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(5),
    Duration::from_millis(50),
    Duration::from_millis(500),
];
/// What stands before the key in a request of twilight's.
const BEFORE_KEY: &[u8] = b"\r\nauthorization: Bot ";

/// Those who have not shown a key.
pub(super) struct Strangers {
    many: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    /// Since when each is there, and what tells it to go; oldest first.
    stays: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// A connection among the strangers, until this is dropped.
pub(super) struct Stay {
    strangers: Arc<Strangers>,
    number: u64,
    over: CancellationToken,
}

/// How many of so many descriptors strangers may have for longer than a moment.
pub(super) fn part_of(descriptors: usize) -> usize {
    (descriptors / SHARE).clamp(1, MANY)
}

impl Strangers {
    /// Makes room for their part of so many descriptors.
    pub(super) fn new(descriptors: usize) -> Self {
        Self {
            many: part_of(descriptors),
            waiting: Mutex::default(),
        }
    }

    /// Takes one more in, and tells the oldest of the others to go if they are too many.
    pub(super) fn receive(self: &Arc<Self>, now: Instant) -> Stay {
        let over = CancellationToken::new();
        let mut waiting = self.waiting();
        while waiting.is_full(now, self.many) {
            if let Some((_, (_, oldest))) = waiting.stays.pop_first() {
                oldest.cancel();
            }
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.stays.insert(number, (now, over.clone()));
        drop(waiting);
        Stay {
            strangers: Arc::clone(self),
            number,
            over,
        }
    }

    /// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_full(&self, now: Instant, many: usize) -> bool {
        let oldest = self.stays.first_key_value();
        let is_old = oldest.is_some_and(|(_, (since, _))| now - *since >= YOUNG);
        self.stays.len() >= if is_old { many } else { many * TOO_MANY }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.strangers.waiting().stays.remove(&self.number);
    }
}

impl Stay {
    /// Ends with the call whose key is shown on a connection, without reading anything there; with
    /// none if none is shown in time, or before there are too many others.
    pub(super) async fn end(self, stream: &TcpStream, passages: &Passages) -> Option<Arc<Slot>> {
        tokio::select! {
            biased;
            shown = timeout(TIME, shown_key(stream, passages)) => shown.ok().flatten(),
            () = self.over.cancelled() => None,
        }
    }
}

async fn shown_key(stream: &TcpStream, passages: &Passages) -> Option<Arc<Slot>> {
    let mut pauses = LOOKS.into_iter();
    loop {
        match look(stream, passages).await {
            Ok(Shown::Key(slot)) => return Some(slot),
            Ok(Shown::Nothing) | Err(_) => return None,
            // What is there already would end every wait for more.
            Ok(Shown::Part) => sleep(pauses.next()?).await,
        }
    }
}

/// What the beginning of a request shows.
enum Shown {
    /// The key of a call.
    Key(Arc<Slot>),
    /// Nothing that is one.
    Nothing,
    /// Nothing yet.
    Part,
}

async fn look(stream: &TcpStream, passages: &Passages) -> io::Result<Shown> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); HEAD_BYTES];
        let mut head = ReadBuf::uninit(&mut room);
        ready!(stream.poll_peek(cx, &mut head))?;
        Poll::Ready(Ok(read(head.filled(), passages)))
    })
    .await
}

/// Looks for the key in the beginning of a request.
fn read(head: &[u8], passages: &Passages) -> Shown {
    if let Some(slot) = key(head).and_then(|key| passages.find(key)) {
        return Shown::Key(slot);
    }
    let is_whole = head.windows(4).any(|four| four == b"\r\n\r\n");
    if head.is_empty() || is_whole || head.len() == HEAD_BYTES {
        Shown::Nothing
    } else {
        Shown::Part
    }
}

fn key(head: &[u8]) -> Option<&str> {
    let mut windows = head.windows(BEFORE_KEY.len());
    let start = windows.position(|it| it.eq_ignore_ascii_case(BEFORE_KEY))?;
    let rest = &head[start + BEFORE_KEY.len()..];
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discord::{Peer, Progress, Token};

    #[test]
    fn a_key_is_found_where_twilight_puts_it_and_nothing_else_is_one() {
        let passages = Arc::new(Passages::default());
        let token = Token::parse("made-up").unwrap();
        let passage = passages.admit(token, Peer::Own, Instant::now(), Progress::default());
        let request = |key: &str| {
            format!(
                "POST /api/v10/channels/1/messages HTTP/1.1\r\nhost: x\r\n\
                 authorization: Bot {key}\r\ncontent-length: 2\r\n\r\n{{}}"
            )
        };
        let request = request(&passage.key());
        let shows = |head: &str| match read(head.as_bytes(), &passages) {
            Shown::Key(_) => "a key",
            Shown::Nothing => "nothing",
            Shown::Part => "a part",
        };
        assert_eq!(shows(&request), "a key");
        let end_of_key = request.find("content-length").unwrap() - 1;
        for end in 1..request.len() {
            let expected = if end < end_of_key { "a part" } else { "a key" };
            assert_eq!(shows(&request[..end]), expected, "{end} bytes");
        }
        let other = request.replace(&passage.key()[40..], &"0".repeat(40));
        for none in [
            "",
            &other,
            "GET / HTTP/1.1\r\n\r\n",
            &"x".repeat(HEAD_BYTES),
        ] {
            assert_eq!(shows(none), "nothing", "{none}");
        }
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_one_that_leaves_is_forgotten() {
        const ALL: usize = 2 * TOO_MANY;
        let strangers = Arc::new(Strangers::new(2 * SHARE));
        let now = Instant::now();
        let mut stays: Vec<Stay> = (0..ALL).map(|_| strangers.receive(now)).collect();
        // None is old enough to go before there are too many.
        assert!(stays.iter().all(|stay| !stay.over.is_cancelled()));
        stays.push(strangers.receive(now));
        let gone = |stays: &[Stay]| stays.iter().take_while(|it| it.over.is_cancelled()).count();
        assert_eq!(gone(&stays), 1);
        stays.push(strangers.receive(now + YOUNG));
        assert_eq!(gone(&stays), ALL);
        assert_eq!(strangers.waiting().stays.len(), 2);
        drop(stays.pop());
        assert_eq!(strangers.waiting().stays.len(), 1);
        stays.clear();
        assert!(strangers.waiting().stays.is_empty());
    }
}
