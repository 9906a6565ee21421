//! The pieces of a call in one process: texts found in what was read, a document answered, and a whole
//! message from its bytes to its answer, posted over loopback in the embedded stand-in for Discord.
//! `cargo bench --bench pieces`; behind `--` comes what criterion takes.

use std::{
    alloc::System,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
};

use anyhow::Context as _;
use criterion::{BatchSize, Criterion, Throughput};
use discordd::{
    config::{self, Limits, Listen},
    discord::Exit,
    frame::{Bounds, Found, Framing, JsonTexts, Messages},
    metrics::{self, Metrics},
    operation::Hall,
    sandbox::{Options, Sandbox},
    surface::{
        Caller, Rpc, Visitor, Web,
        http::{self, Pages},
        lines,
    },
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, header};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    runtime::{Builder, Runtime},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroizing_alloc::ZeroAlloc;

/// The daemon's own.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// What a text may be.
const BOUNDS: Bounds = Bounds {
    max_bytes: 1 << 20,
    max_depth: 128,
};
/// The smallest call there is.
const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;
/// As many characters as a message may have.
const CHARACTERS: usize = 2000;
/// Room in the stream that a caller has, in bytes.
const STREAM_BYTES: usize = 16 << 10;

/// A daemon without doors, and what stands in Discord's place.
struct House {
    runtime: Runtime,
    pages: Pages,
    rpc: Arc<Rpc>,
    stop: CancellationToken,
    /// What posts a message there.
    message: String,
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs a bench too, and does not want to wait for one.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let mut criterion = Criterion::default().configure_from_args();
    frame(&mut criterion);
    let house = House::open()?;
    house.answer_documents(&mut criterion);
    house.carry_out_a_message(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Finds texts in what was read, in raw lines and in WebSocket messages.
fn frame(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let long = format!(r#"{{"content":"{}"}}"#, "m".repeat(CHARACTERS));
    for (name, text, texts) in [
        ("a call", HEALTH, 1),
        ("64 calls", HEALTH, 64),
        ("a long message", &long, 1),
    ] {
        let lines = format!("{text}\n").repeat(texts);
        group.throughput(Throughput::Bytes(lines.len() as u64));
        group.bench_function(format!("{name}, lines"), |bencher| {
            let received = || received(JsonTexts::new(BOUNDS), lines.as_bytes());
            bencher.iter_batched_ref(received, |it| find(it, texts), BatchSize::SmallInput);
        });
        let messages = message(text.as_bytes()).repeat(texts);
        group.bench_function(format!("{name}, WebSocket"), |bencher| {
            let received = || received(Messages::new(BOUNDS), &messages);
            bencher.iter_batched_ref(received, |it| find(it, texts), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn received<F: Framing>(mut framing: F, bytes: &[u8]) -> F {
    framing.buffer().extend_from_slice(bytes);
    framing
}

/// Finds all texts, which are so many.
fn find(framing: &mut impl Framing, texts: usize) {
    let mut found = 0;
    while let Some(Found::Text(_)) = framing.next_found() {
        found += 1;
    }
    assert_eq!(found, texts);
}

/// A text in a WebSocket message of one frame, masked as a client must.
fn message(text: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut message = vec![0x81];
    if let Ok(length @ 0..126) = u8::try_from(text.len()) {
        message.push(0x80 | length);
    } else {
        let length = u16::try_from(text.len()).expect("it is not that long");
        message.push(0xfe);
        message.extend(length.to_be_bytes());
    }
    message.extend(mask);
    let masked = text.iter().zip(mask.iter().cycle());
    message.extend(masked.map(|(byte, mask)| byte ^ mask));
    message
}

impl House {
    fn open() -> anyhow::Result<Self> {
        let sandbox = sandbox()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let base_url = format!("http://{}", sandbox.http);
        let settings = config::Discord {
            base_url: base_url.parse().map_err(anyhow::Error::msg)?,
            ..config::Discord::default()
        };
        let metrics = Arc::new(Metrics::default());
        let exit = runtime.block_on(async { Exit::open(&settings, &metrics, &stop, &tracker) })?;
        let hall = Arc::new(Hall {
            exit,
            metrics,
            upstream: "sandbox".to_owned(),
        });
        let rpc = Arc::new(Rpc::new(hall, Limits::default(), tracker));
        let web = Web::new(&Listen::default());
        let pages = http::pages(Arc::clone(&rpc), web, stop.clone());
        let bot = sandbox.bots.first().context("there is a bot")?;
        let channel = sandbox.channels.first().context("there is a channel")?;
        let params = format!(
            r#"{{"discord_token":"{}","channel_id":"{}","content":"A message of the benchmark"}}"#,
            bot.token, channel.id
        );
        Ok(Self {
            runtime,
            pages,
            rpc,
            stop,
            message: format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{params}}}"#
            ),
        })
    }

    /// Answers documents that ask nothing of Discord.
    fn answer_documents(&self, criterion: &mut Criterion) {
        let batch = format!("[{}]", [HEALTH; 10].join(","));
        let documents = [
            ("health", HEALTH, r#""status":"healthy""#),
            ("a batch of ten", &batch, r#""status":"healthy""#),
            (
                "no such method",
                r#"{"jsonrpc":"2.0","id":1,"method":"nope"}"#,
                "-32601",
            ),
            (
                "a wrong param",
                r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{"no":1}}"#,
                r#""delivered":"no""#,
            ),
            ("no JSON", "{", "-32700"),
        ];
        let visitor = Arc::new(Visitor::own());
        let mut group = criterion.benchmark_group("document");
        for (name, document, expected) in documents {
            let answer = || {
                let visitor = Arc::clone(&visitor);
                self.runtime.block_on(ask(&self.pages, visitor, document))
            };
            let answered = String::from_utf8_lossy(&answer()).into_owned();
            assert!(answered.contains(expected), "{name}: {answered}");
            group.bench_function(name, |bencher| bencher.iter(answer));
        }
        group.finish();
    }

    /// Posts messages one after another through a raw connection.
    fn carry_out_a_message(&self, criterion: &mut Criterion) -> anyhow::Result<()> {
        let (near, far) = tokio::io::duplex(STREAM_BYTES);
        let caller = Caller::new(Visitor::own(), metrics::Framing::Lines, 1, None);
        let served = lines::serve(far, Arc::clone(&self.rpc), caller, self.stop.clone());
        self.runtime.spawn(served);
        let mut near = BufReader::new(near);
        let line = format!("{}\n", self.message);
        let mut posted = || self.runtime.block_on(post(&mut near, &line));
        posted()?;
        criterion.bench_function("a message in process", |bencher| {
            bencher.iter(|| posted().expect("it was posted before"));
        });
        Ok(())
    }
}

/// Sends a message and reads that it is posted.
async fn post(stream: &mut BufReader<DuplexStream>, line: &str) -> anyhow::Result<()> {
    stream.get_mut().write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    anyhow::ensure!(answer.contains("message_id"), "{answer}");
    Ok(())
}

/// Answers a document over HTTP.
async fn ask(pages: &Pages, visitor: Arc<Visitor>, document: &str) -> Bytes {
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
    let body = Full::new(Bytes::copy_from_slice(document.as_bytes()));
    let request = request.body(body).expect("the request has no error");
    let answer = pages.answer(visitor, request).await;
    let body = answer.into_body().collect().await;
    body.expect("it is in memory").to_bytes()
}

/// Starts what stands in Discord's place, on a thread of its own for as long as this process lives.
fn sandbox() -> anyhow::Result<Sandbox> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let options = Options {
        http: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        tls: None,
        any_token: false,
        history: 100,
        rate_limits: false,
    };
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let sandbox = runtime.block_on(async { Sandbox::start(&options, &stop, &tracker) })?;
    thread::spawn(move || runtime.block_on(stop.cancelled()));
    Ok(sandbox)
}
