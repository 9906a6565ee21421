//! The floor under a message: a fresh twilight client that asks Discord directly, without a daemon.
//!
//! `floor BASE_URL CHANNEL CONCURRENCY CALLS` posts so many messages, each by a client and a bot of
//! its own, and prints what it took as one line of JSON. It must do no more than a program has to.

use std::{
    env,
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use twilight_http::{Client, request::Request, routing::Route};

/// User id of the first made-up bot; each call is made by the next one.
const FIRST_USER: u64 = 1_300_000_000_000_000_000;
/// What stands in a made-up token behind the user id, as long as in Discord's own.
const REST_OF_TOKEN: &str = "bench1.made-up-for-the-benchmark-and-no-secret";
/// Part of the calls that is made before it is measured.
const WARM_UP_PART: u64 = 10;

/// What is posted, and where.
struct Errand {
    host: String,
    plain: bool,
    channel_id: u64,
    concurrency: u64,
    next: AtomicU64,
}

/// What the daemon sends too.
#[derive(Serialize)]
struct Body<'a> {
    content: &'a str,
    allowed_mentions: AllowedMentions,
    nonce: &'a str,
    enforce_nonce: bool,
}

#[derive(Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

/// What the daemon reads of the answer too.
#[derive(Deserialize)]
struct Message {
    author: Author,
    timestamp: String,
}

#[derive(Deserialize)]
struct Author {
    id: String,
}

/// What the calls took.
#[derive(Serialize)]
struct Report {
    took_ns: u128,
    cpu_ns: u128,
    waits_ns: Vec<u128>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [base_url, channel, concurrency, calls] = arguments.as_slice() else {
        anyhow::bail!("floor BASE_URL CHANNEL CONCURRENCY CALLS");
    };
    let (scheme, host) = base_url.split_once("://").context("a URL has a scheme")?;
    let errand = Arc::new(Errand {
        host: host.to_owned(),
        plain: scheme == "http",
        channel_id: channel.parse()?,
        concurrency: concurrency.parse()?,
        next: AtomicU64::new(0),
    });
    let calls: u64 = calls.parse()?;
    // Without it twilight's client cannot be built.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(Arc::clone(&errand).post_until(calls / WARM_UP_PART))?;
    let (began, before) = (Instant::now(), cpu());
    let waits = runtime.block_on(Arc::clone(&errand).post_until(calls + calls / WARM_UP_PART))?;
    let report = Report {
        took_ns: began.elapsed().as_nanos(),
        cpu_ns: (cpu() - before).as_nanos(),
        waits_ns: waits.iter().map(Duration::as_nanos).collect(),
    };
    let mut line = serde_json::to_vec(&report)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    // The tasks of twilight's rate limiters would never end.
    runtime.shutdown_background();
    Ok(())
}

impl Errand {
    /// Posts until the last message has this number, so many at once, and gives how long each took.
    async fn post_until(self: Arc<Self>, end: u64) -> anyhow::Result<Vec<Duration>> {
        let post = |_| tokio::spawn(Arc::clone(&self).post_some(end));
        let posting: Vec<_> = (0..self.concurrency).map(post).collect();
        let mut waits = Vec::new();
        for some in posting {
            waits.append(&mut some.await??);
        }
        self.next.store(end, Ordering::Relaxed);
        Ok(waits)
    }

    async fn post_some(self: Arc<Self>, end: u64) -> anyhow::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                return Ok(waits);
            }
            let began = Instant::now();
            self.post(number).await?;
            waits.push(began.elapsed());
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a bare client is what is measured"
    )]
    async fn post(&self, number: u64) -> anyhow::Result<()> {
        let user = (FIRST_USER + number).to_string();
        let token = format!("{}.{REST_OF_TOKEN}", URL_SAFE_NO_PAD.encode(&user));
        let client = Client::builder()
            .proxy(self.host.clone(), self.plain)
            .token(token)
            .build();
        let body = Body {
            content: &format!("Message {number} of the benchmark"),
            allowed_mentions: AllowedMentions { parse: [] },
            nonce: &format!("{number:025}"),
            enforce_nonce: true,
        };
        let route = Route::CreateMessage {
            channel_id: self.channel_id,
        };
        let request = Request::builder(&route).json(&body).build()?;
        let message = client.request::<Message>(request).await?.model().await?;
        let right = message.author.id == user && !message.timestamp.is_empty();
        anyhow::ensure!(right, "the answer is another call's");
        Ok(())
    }
}

/// The process's time on all cores.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (secs, nanos) = (time.tv_sec, time.tv_nsec);
    Duration::new(
        secs.unsigned_abs(),
        u32::try_from(nanos).unwrap_or_default(),
    )
}
