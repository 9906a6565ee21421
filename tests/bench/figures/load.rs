//! The load: connections that keep a number of calls under way until all are answered.
//!
//! It runs on one thread, so that it takes as little of the shared cores as it can. A call is
//! timed from just before it is written to just after the read that brought its answer.

use std::{
    fmt,
    io::ErrorKind,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    runtime::{self, Runtime},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::call::{Call, UPGRADE, Way};

/// How long a run may take: longer than the daemon lets a call take, so that a lost one is seen.
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
/// Part of a load's calls that warm the daemon up before it is measured.
const WARM_UP_PART: u32 = 10;
/// How long it is waited when as many connections wait to be accepted as may.
const PAUSE: Duration = Duration::from_millis(1);
/// Room for each read, in bytes.
const READ_BYTES: usize = 64 << 10;

/// How much is asked, and how much of it at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Callers, each with connections of its own.
    callers: u32,
    /// Connections of each caller; its calls go over them in turn.
    connections: u32,
    /// Calls of each caller under way at once.
    in_flight: u32,
    /// Calls over all connections.
    pub(crate) calls: u32,
}

/// Puts loads on a daemon. No call's number is used twice.
pub(crate) struct Loader {
    runtime: Runtime,
    next_id: usize,
}

/// One load, carried.
pub(crate) struct Run {
    /// From the first call to the last answer; the connections were open before.
    pub(crate) took: Duration,
    /// How long each call took, the shortest first.
    pub(crate) waits: Vec<Duration>,
}

/// One caller's part of a load.
struct Part {
    way: Way,
    call: Call,
    ids: Range<usize>,
    in_flight: usize,
    connections: u32,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Load {
    /// A single call.
    pub(crate) const ONE: Self = Self::sequential(1);

    /// One connection with one call under way.
    pub(crate) const fn sequential(calls: u32) -> Self {
        Self::new(1, 1, calls)
    }

    /// So many connections, each with so many calls under way.
    pub(crate) const fn new(connections: u32, in_flight: u32, calls: u32) -> Self {
        Self {
            callers: connections,
            connections: 1,
            in_flight,
            calls,
        }
    }

    /// So many calls under way over so many connections.
    pub(crate) const fn spread(connections: u32, under_way: u32, calls: u32) -> Self {
        if connections < under_way {
            return Self::new(connections, under_way / connections, calls);
        }
        Self {
            callers: under_way,
            connections: connections / under_way,
            in_flight: 1,
            calls,
        }
    }

    /// The same load with fewer calls, but some on every connection.
    pub(crate) fn warm_up(self) -> Self {
        Self {
            calls: (self.calls / WARM_UP_PART).max(self.open()),
            ..self
        }
    }

    /// Connections in all.
    pub(crate) const fn open(self) -> u32 {
        self.callers * self.connections
    }

    /// Calls under way at once, over all connections.
    pub(crate) const fn under_way(self) -> u32 {
        self.callers * self.in_flight
    }

    /// Whether each connection has one call under way at a time.
    pub(crate) const fn is_sequential(self) -> bool {
        self.in_flight == 1
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connections, in_flight) = (self.open(), self.in_flight);
        write!(f, "{connections} × {in_flight}")
    }
}

impl Loader {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            next_id: 0,
        })
    }

    /// Makes all calls of a load.
    ///
    /// # Errors
    ///
    /// When the daemon cannot be reached, or a call is lost, answered twice or answered wrongly.
    pub(crate) fn run(&mut self, way: &Way, call: &Call, load: Load) -> anyhow::Result<Run> {
        let first = self.next_id;
        let part = |number: u32| {
            let boundary = |number: u32| -> anyhow::Result<usize> {
                let before = u64::from(load.calls) * u64::from(number);
                Ok(first + usize::try_from(before / u64::from(load.callers))?)
            };
            anyhow::Ok(Part {
                way: way.clone(),
                call: call.clone(),
                ids: boundary(number)?..boundary(number + 1)?,
                in_flight: usize::try_from(load.in_flight)?,
                connections: load.connections,
            })
        };
        let parts: Vec<Part> = (0..load.callers).map(part).collect::<Result<_, _>>()?;
        self.next_id = parts.last().map_or(first, |part| part.ids.end);
        self.runtime.block_on(carry(parts))
    }
}

async fn carry(parts: Vec<Part>) -> anyhow::Result<Run> {
    let mut connected = Vec::new();
    for part in parts {
        let mut streams = Vec::new();
        for _ in 0..part.connections {
            streams.push(part.connect().await?);
        }
        connected.push((streams, part));
    }
    let began = Instant::now();
    let mut running = JoinSet::new();
    for (streams, part) in connected {
        running.spawn(part.drive(streams));
    }
    let mut waits = Vec::new();
    let all = async {
        while let Some(part) = running.join_next().await {
            waits.append(&mut part??);
        }
        anyhow::Ok(())
    };
    timeout(RUN_TIMEOUT, all)
        .await
        .context("a call was not answered")??;
    let took = began.elapsed();
    waits.sort_unstable();
    Ok(Run { took, waits })
}

impl Part {
    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        match &self.way {
            Way::Http(address) | Way::Mcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Way::Lines(path) => loop {
                match UnixStream::connect(path).await {
                    // As many wait to be accepted as may.
                    Err(err) if err.kind() == ErrorKind::WouldBlock => sleep(PAUSE).await,
                    connected => break Ok(Box::new(connected?)),
                }
            },
            Way::WebSocket(address) => {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                stream.write_all(UPGRADE.as_bytes()).await?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    anyhow::ensure!(stream.read_buf(&mut head).await? > 0, "no web socket");
                }
                Ok(Box::new(stream))
            }
        }
    }

    /// Makes the calls and gives how long each took.
    async fn drive(self, mut streams: Vec<Box<dyn Stream>>) -> anyhow::Result<Vec<Duration>> {
        let mut sent = vec![None; self.ids.len()];
        let mut waits = Vec::with_capacity(sent.len());
        let (mut asked, mut request) = (0, Vec::new());
        let mut received = BytesMut::new();
        while waits.len() < sent.len() {
            // Where there are several, one call is under way at a time.
            let turn = asked % streams.len();
            let stream = &mut streams[turn];
            let more = (waits.len() + self.in_flight).min(sent.len());
            for index in asked..more {
                let id = self.ids.start + index;
                self.way.write(&self.call, id, &mut request);
            }
            sent[asked..more].fill(Some(Instant::now()));
            asked = more;
            stream.write_all(&request).await?;
            request.clear();
            received.reserve(READ_BYTES);
            let bytes = stream.read_buf(&mut received).await?;
            anyhow::ensure!(bytes > 0, "the daemon closed a connection");
            let now = Instant::now();
            while let Some([start, end, next]) = self.way.find_answer(&received)? {
                let id = self.call.check(&received[start..end])?;
                // Where it is not told, nothing else is under way.
                let id = id.unwrap_or(self.ids.start + asked - 1);
                let index = id.checked_sub(self.ids.start);
                let asked = index.and_then(|index| sent.get_mut(index)?.take());
                let asked = asked.with_context(|| format!("{id} was not asked, or twice"))?;
                waits.push(now - asked);
                received.advance(next);
            }
        }
        anyhow::ensure!(received.is_empty(), "more answers than calls");
        Ok(waits)
    }
}
