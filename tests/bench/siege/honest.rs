//! The honest callers: a few connections that make a call, wait for its answer, pause and go on, and
//! note how long each answer took, and which did not come.

use std::{
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    call::{Call, Sender, UPGRADE, Way},
    target::{Ground, Target},
};

/// How long each pauses between an answer and its next call.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer may take before its call counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bots that the messages are of.
const BOTS: usize = 8;
/// Numbers between the first calls of two callers.
const APART: usize = 1_000_000;

/// Callers that go on until this is dropped.
pub(crate) struct Honest {
    tally: Arc<Mutex<Tally>>,
    over: Arc<AtomicBool>,
    /// Whether only what asks nobody is asked.
    only_health: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

/// What became of some calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    waits: Vec<Duration>,
    /// Calls that failed or were not answered.
    pub(crate) lost: usize,
    /// Why the first was.
    pub(crate) why: Option<String>,
}

struct Caller {
    socket: PathBuf,
    way: Way,
    call: Call,
    stream: Option<UnixStream>,
}

impl Honest {
    /// Begins: three connections post messages, over lines, lines and HTTP, and two ask for the
    /// daemon's health, over lines and WebSocket.
    pub(crate) fn begin(ground: &Ground, target: &Target) -> Self {
        let lines = Way::Lines(target.daemon.socket.clone());
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let message = || Call::SendMessage(Sender::of(BOTS, ground.sandbox.channel("general")));
        let callers = [
            (lines.clone(), message()),
            (lines.clone(), message()),
            (Way::Http(nowhere), message()),
            (lines, Call::Health),
            (Way::WebSocket(nowhere), Call::Health),
        ];
        let mut honest = Self {
            tally: Arc::default(),
            over: Arc::default(),
            only_health: Arc::default(),
            callers: Vec::new(),
        };
        for (number, (way, call)) in callers.into_iter().enumerate() {
            let caller = Caller {
                socket: target.daemon.socket.clone(),
                way,
                call,
                stream: None,
            };
            let tally = Arc::clone(&honest.tally);
            let (over, only_health) = (Arc::clone(&honest.over), Arc::clone(&honest.only_health));
            let calls = move || caller.go_on(number * APART, &tally, &over, &only_health);
            honest.callers.push(thread::spawn(calls));
        }
        honest
    }

    /// What became of the calls since this was asked last.
    pub(crate) fn take(&self) -> Tally {
        let mut tally = std::mem::take(&mut *self.tally.lock().unwrap());
        tally.waits.sort_unstable();
        tally
    }

    /// Says whether only what asks nobody may be asked.
    pub(crate) fn ask_only_health(&self, only: bool) {
        self.only_health.store(only, Ordering::Relaxed);
    }

    /// Calls for so long, and gives what became of it.
    pub(crate) fn during(&self, time: Duration) -> Tally {
        self.take();
        thread::sleep(time);
        self.take()
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for caller in self.callers.drain(..) {
            // One that panicked has said why.
            let _ = caller.join();
        }
    }
}

impl Tally {
    /// How many calls were answered.
    pub(crate) fn answered(&self) -> usize {
        self.waits.len()
    }

    /// The time that so many hundredths of the calls took at most.
    pub(crate) fn percentile(&self, hundredths: usize) -> Duration {
        let place = self.waits.len() * hundredths / 100;
        self.waits.get(place).copied().unwrap_or(PATIENCE)
    }

    /// The longest time that a call took.
    pub(crate) fn longest(&self) -> Duration {
        self.waits.last().copied().unwrap_or_default()
    }
}

impl Caller {
    fn go_on(
        mut self,
        first: usize,
        tally: &Mutex<Tally>,
        over: &AtomicBool,
        only_health: &AtomicBool,
    ) {
        for id in first.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let health = only_health.load(Ordering::Relaxed);
            let call = if health {
                Call::Health
            } else {
                self.call.clone()
            };
            let began = Instant::now();
            let answered = self.ask(&call, id);
            let took = began.elapsed();
            {
                let mut tally = tally.lock().unwrap();
                match answered {
                    Ok(()) => tally.waits.push(took),
                    Err(err) => {
                        self.stream = None;
                        tally.lost += 1;
                        let way = match self.way {
                            Way::Http(_) => "HTTP",
                            Way::Lines(_) => "lines",
                            Way::Mcp(_) => "MCP",
                            Way::WebSocket(_) => "WebSocket",
                        };
                        tally
                            .why
                            .get_or_insert_with(|| format!("over {way}: {err:#}"));
                    }
                }
            }
            thread::sleep(PAUSE);
        }
    }

    fn ask(&mut self, call: &Call, id: usize) -> anyhow::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.socket, &self.way)?),
        };
        let mut request = Vec::new();
        self.way.write(call, id, &mut request);
        stream.write_all(&request)?;
        let mut received = Vec::new();
        loop {
            if let Some([start, end, _]) = self.way.find_answer(&received)? {
                let answered = call.check(&received[start..end])?;
                anyhow::ensure!(answered == Some(id), "an answer to another call");
                return Ok(());
            }
            read(stream, &mut received)?;
        }
    }
}

fn connect(socket: &Path, way: &Way) -> anyhow::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).context("connect")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if matches!(way, Way::WebSocket(_)) {
        stream.write_all(UPGRADE.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            read(&mut stream, &mut head)?;
        }
    }
    Ok(stream)
}

fn read(stream: &mut UnixStream, to: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut room = [0; 4096];
    let bytes = stream.read(&mut room).context("no answer")?;
    anyhow::ensure!(bytes > 0, "the daemon closed a connection");
    to.extend_from_slice(&room[..bytes]);
    Ok(())
}
