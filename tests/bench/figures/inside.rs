//! The far side alone: an operation called in process through the exit, by the same code and in the
//! same kind of runtime as the daemon's, but behind no door.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use discordd::{
    config,
    discord::{Exit, Peer, Progress, Token},
    metrics::Metrics,
    operation::{self, Entry, Hall, Params, Rights, TABLE},
    threads::{self, Threads},
};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::call::token;

/// Longest that a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// Part of the calls that is made before it is measured.
const WARM_UP_PART: usize = 10;

/// What is posted, and where.
pub(crate) struct Errand {
    entry: &'static Entry,
    hall: Arc<Hall>,
    channel_id: String,
    next: AtomicUsize,
    threads: Threads,
}

/// What calls took that were made in a process of their own.
#[derive(Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "a number carries its unit")]
pub(crate) struct Report {
    /// From the first call to the last answer.
    pub(crate) took_ns: u64,
    /// The process's time on all cores.
    pub(crate) cpu_ns: u64,
    /// How long each call took.
    pub(crate) waits_ns: Vec<u64>,
}

/// Makes the calls, so many at once, and prints what they took.
///
/// # Errors
///
/// When a call fails.
pub(crate) fn run(
    settings: &config::Discord,
    channel_id: &str,
    concurrency: usize,
    calls: usize,
) -> anyhow::Result<()> {
    let runtime = threads::runtime()?;
    let (threads, others) = Threads::start(&runtime)?;
    let report = runtime.block_on(async {
        let errand = Arc::new(Errand::new(settings, channel_id, threads)?);
        Arc::clone(&errand)
            .make(concurrency, calls / WARM_UP_PART)
            .await?;
        let (began, before) = (Instant::now(), cpu());
        let waits = errand.make(concurrency, calls).await?;
        let nanos = |time: Duration| u64::try_from(time.as_nanos());
        anyhow::Ok(Report {
            took_ns: nanos(began.elapsed())?,
            cpu_ns: nanos(cpu().saturating_sub(before))?,
            waits_ns: waits.into_iter().map(nanos).collect::<Result<_, _>>()?,
        })
    })?;
    others.end();
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    Ok(io::stdout().write_all(&line)?)
}

/// Says where Discord is, and whom to trust there.
///
/// # Errors
///
/// When it is no URL.
pub(crate) fn settings(base_url: &str, ca_file: &str) -> anyhow::Result<config::Discord> {
    Ok(config::Discord {
        base_url: base_url.parse().map_err(anyhow::Error::msg)?,
        ca_file: Some(ca_file.into()),
        ..config::Discord::default()
    })
}

impl Errand {
    fn new(settings: &config::Discord, channel_id: &str, threads: Threads) -> anyhow::Result<Self> {
        let named = |entry: &&Entry| entry.name == "discord.sendMessage";
        let tracker = TaskTracker::new();
        let metrics = Arc::new(Metrics::default());
        Ok(Self {
            entry: TABLE.iter().find(named).context("no such operation")?,
            hall: Arc::new(Hall {
                exit: Exit::open_on(
                    &threads,
                    settings,
                    &metrics,
                    &CancellationToken::new(),
                    &tracker,
                )?,
                metrics,
                upstream: settings.base_url.host().to_owned(),
            }),
            channel_id: channel_id.to_owned(),
            next: AtomicUsize::new(0),
            threads,
        })
    }

    async fn make(
        self: Arc<Self>,
        concurrency: usize,
        calls: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        let end = self.next.load(Ordering::Relaxed) + calls;
        // The first is the porch, where no call is made.
        let inside: Vec<&Handle> = self.threads.all().skip(1).collect();
        let threads = inside.iter().cycle().take(concurrency);
        let make = |it: &&Handle| it.spawn(Arc::clone(&self).make_some(end));
        let making: Vec<_> = threads.map(make).collect();
        let mut waits = Vec::new();
        for some in making {
            waits.append(&mut some.await??);
        }
        self.next.store(end, Ordering::Relaxed);
        Ok(waits)
    }

    async fn make_some(self: Arc<Self>, end: usize) -> anyhow::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                return Ok(waits);
            }
            let began = Instant::now();
            self.call(number).await?;
            waits.push(began.elapsed());
        }
    }

    async fn call(&self, number: usize) -> anyhow::Result<()> {
        let params = format!(
            r#"{{"channel_id":"{}","content":"Message {number} of the benchmark"}}"#,
            self.channel_id
        );
        let call = operation::Call {
            hall: Arc::clone(&self.hall),
            token: Some(Token::parse(&token(number))?),
            peer: Peer::Own,
            rights: Arc::new(Rights::default()),
            deadline: tokio::time::Instant::now() + CALL_TIMEOUT,
            progress: Progress::default(),
        };
        let failed = |error: operation::Error| anyhow::Error::msg(error.sentence());
        let params = Params::parse(&params, self.entry.positions).map_err(failed)?;
        let job = self.entry.read(params, call).map_err(failed)?;
        job.await.map(drop).map_err(failed)
    }
}

/// The process's time on all cores.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
