//! Whoever connects to the exit's port and has not shown a key: bounded in number and in time, so that
//! none of them keeps our own clients out.
//!
//! Anybody in the same network namespace may connect. Our own clients send their key at once, so what
//! has been silent for the longest is none of theirs, and goes when there are too many. Nothing is
//! read of a stranger: his bytes are looked at where they are, in the kernel.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use rustix::net::{RecvFlags, recv, sockopt::set_socket_linger};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Handle,
    time::{Instant, timeout},
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
/// Connections that may wait to be accepted; fewer cost a lost SYN, and a second, under load.
const BACKLOG: u32 = 4096;
/// What stands before the key in a request of twilight's.
const BEFORE_KEY: &[u8] = b"\r\nauthorization: Bot ";

/// The exit's port.
pub(super) struct Port(TcpListener);

/// What whoever connects has shown so far.
pub(super) enum Shown {
    /// The key of a call.
    Key(Arc<Slot>),
    /// Something else, or that it is gone. Our own clients write their key in one piece.
    Other,
    /// Nothing yet.
    Silence,
}

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

impl Port {
    /// Opens it on loopback for what works on a thread, with a number of the kernel's choice.
    ///
    /// # Errors
    ///
    /// When none can be had.
    pub(super) fn open_on(thread: &Handle) -> anyhow::Result<(Self, SocketAddr)> {
        let _there = thread.enter();
        let socket = TcpSocket::new_v4().context("open the exit's socket")?;
        socket
            .bind((Ipv4Addr::LOCALHOST, 0).into())
            .context("bind the exit's port on 127.0.0.1")?;
        let listener = socket
            .listen(BACKLOG)
            .context("listen on the exit's port")?;
        // Connections inherit it. Who is turned away is reset: each that is closed in order would keep a
        // port of its own side for a while, and our own clients would look for one among those.
        set_socket_linger(&listener, Some(Duration::ZERO))?;
        let address = listener.local_addr()?;
        Ok((Self(listener), address))
    }

    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// When descriptors or memory are short.
    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.0.accept().await?;
        Ok(stream)
    }
}

/// Looks at what has come on a connection, and leaves it there.
pub(super) fn glance(stream: &TcpStream, passages: &Passages) -> Shown {
    match peek(stream, passages) {
        Ok(Some(slot)) => Shown::Key(slot),
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Shown::Silence,
        Ok(None) | Err(_) => Shown::Other,
    }
}

/// Takes care that what may be a connection of our own clients is closed in order.
///
/// # Errors
///
/// When it is over already.
pub(super) fn welcome(stream: &TcpStream) -> io::Result<()> {
    Ok(set_socket_linger(stream, None)?)
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
        let shown = stream.async_io(Interest::READABLE, || peek(stream, passages));
        tokio::select! {
            biased;
            shown = timeout(TIME, shown) => shown.ok()?.ok()?,
            () = self.over.cancelled() => None,
        }
    }
}

/// Finds the call whose key is shown in what has come on a connection.
///
/// # Errors
///
/// When nothing has come yet, or the connection is broken.
fn peek(stream: impl AsFd, passages: &Passages) -> io::Result<Option<Arc<Slot>>> {
    let mut head = [0; HEAD_BYTES];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let (bytes, _) = recv(stream, &mut head, flags)?;
    Ok(key(&head[..bytes]).and_then(|key| passages.find(key)))
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
    use std::io::{Read as _, Write as _};

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
        let shows = |head: &str| key(head.as_bytes()).and_then(|key| passages.find(key));
        let end_of_key = request.find("content-length").unwrap() - 1;
        for end in 0..=request.len() {
            assert_eq!(shows(&request[..end]).is_some(), end >= end_of_key, "{end}");
        }
        let other = request.replace(&passage.key()[40..], &"0".repeat(40));
        for none in [
            "",
            &other,
            "GET / HTTP/1.1\r\n\r\n",
            &"x".repeat(HEAD_BYTES),
        ] {
            assert!(shows(none).is_none(), "{none}");
        }
    }

    #[tokio::test]
    async fn whoever_says_something_else_or_is_gone_is_known_at_the_first_glance() {
        let passages = Arc::new(Passages::default());
        let (port, address) = Port::open_on(&Handle::current()).unwrap();
        for (said, is_silent) in [
            ("", true),
            ("POST / HTTP/1.1\r\nauthorization: Bot 0", false),
        ] {
            let mut stranger = std::net::TcpStream::connect(address).unwrap();
            stranger.write_all(said.as_bytes()).unwrap();
            let stream = port.accept().await.unwrap();
            let shown = glance(&stream, &passages);
            assert_eq!(matches!(shown, Shown::Silence), is_silent, "{said}");
            assert_eq!(matches!(shown, Shown::Other), !is_silent, "{said}");
            // He is reset, and his own port is free at once.
            drop(stream);
            let err = stranger.read(&mut [0]).unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
        }
        drop(std::net::TcpStream::connect(address).unwrap());
        let stream = port.accept().await.unwrap();
        assert!(matches!(glance(&stream, &passages), Shown::Other));
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
