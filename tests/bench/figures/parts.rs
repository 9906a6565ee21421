//! What the far side of one call costs, part by part, on one thread; and what a call allocates.

use std::{
    convert::Infallible,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use discordd::discord::{self, Exit, Peer, Progress, Token};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, client::conn, header::AUTHORIZATION, server, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use twilight_http::{Client, request, routing::Route};

use super::{
    Bench,
    call::{Call, Sender, token},
    inside,
    load::Load,
    process::{Daemon, Scheme, Upstream},
    role,
    table::{self, Table},
};

/// How often each part is done.
const TIMES: u32 = 2000;
/// How often before it is measured.
const WARM_UP: u32 = 200;
/// What is posted.
const BODY: &[u8] = br#"{"content":"Message 1 of the benchmark","allowed_mentions":{"parse":[]},"nonce":"0123456789012345678901234","enforce_nonce":true}"#;

/// What a part took, all times together.
#[derive(Clone, Copy, Default)]
struct Cost {
    cpu: Duration,
    wall: Duration,
}

/// Takes the time from one part to the next.
struct Watch {
    cpu: Duration,
    wall: Instant,
}

/// Costs by the names of their parts, in order.
#[derive(Default)]
struct Costs(Vec<(&'static str, Cost)>);

/// Measures the parts, and the allocations of whole calls.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    let upstream = bench.upstream(Duration::ZERO)?;
    let [plain, tls] = [Scheme::Plain, Scheme::Tls].map(|scheme| upstream.base_url(scheme));
    let ca_file = upstream.ca_file.to_string_lossy();
    let columns = ["Part", "CPU, µs", "time, µs"];
    let title =
        "The far side of one message by part, on one thread, the upstream in another process";
    let mut parts = Table::new(title, &columns);
    for line in role::lines(&["parts", &plain, &tls, &ca_file])? {
        let mut cells = line.split('\t').map(str::to_owned);
        let mut cell = || cells.next().context("a part has three cells");
        parts.push([cell()?, cell()?, cell()?]);
    }
    let mut allocations = Table::new("Allocations of one call", &["Call", "times", "bytes"]);
    for (name, scheme, call) in [
        ("`health`", Scheme::Plain, Call::Health),
        (
            "`sendMessage` over HTTP",
            Scheme::Plain,
            Call::SendMessage(Sender::many("1")),
        ),
        (
            "`sendMessage` over TLS",
            Scheme::Tls,
            Call::SendMessage(Sender::many("1")),
        ),
    ] {
        let [times, bytes] = allocations_of(bench, &upstream, scheme, &call)?;
        allocations.push([name.to_owned(), times.to_string(), bytes.to_string()]);
    }
    Ok(vec![parts, allocations])
}

/// Counts what one call allocates, on the average of many.
fn allocations_of(
    bench: &mut Bench,
    upstream: &Upstream,
    scheme: Scheme,
    call: &Call,
) -> anyhow::Result<[u64; 2]> {
    let counted = bench.folder.file("counted");
    fs::write(&counted, [0; 16])?;
    let environment = [
        ("LD_PRELOAD", bench.built.count.clone()),
        ("COUNT_FILE", counted.clone()),
    ];
    let (binary, socket) = (bench.built.daemon.clone(), bench.socket());
    let mut daemon = Daemon::start(&binary, socket, upstream, scheme, &environment)?;
    daemon.wait_until_ready()?;
    let way = daemon.lines();
    bench.loader.run(&way, call, Load::sequential(WARM_UP))?;
    let before = read_counted(&counted)?;
    bench.loader.run(&way, call, Load::sequential(TIMES))?;
    let after = read_counted(&counted)?;
    daemon.stop()?;
    Ok([0, 1].map(|index| (after[index] - before[index]) / u64::from(TIMES)))
}

fn read_counted(file: &Path) -> anyhow::Result<[u64; 2]> {
    let bytes = fs::read(file)?;
    let number = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let counted = number(0).zip(number(8)).context("nothing was counted")?;
    Ok(counted.into())
}

/// Does the parts one after another, many times, and prints what each took.
///
/// # Errors
///
/// When one cannot be done.
pub(crate) fn run(plain: &str, tls: &str, ca_file: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let costs = runtime.block_on(async {
        let far_side = FarSide::new(plain, tls, ca_file).await?;
        for _ in 0..WARM_UP {
            far_side.once(&mut Costs::default()).await?;
        }
        let mut costs = Costs::default();
        for _ in 0..TIMES {
            far_side.once(&mut costs).await?;
        }
        anyhow::Ok(costs)
    })?;
    let mut stdout = io::stdout();
    for (name, Cost { cpu, wall }) in costs.0 {
        let [cpu, wall] = [cpu, wall].map(|time| table::microseconds(time / TIMES));
        writeln!(stdout, "{name}\t{cpu}\t{wall}")?;
    }
    Ok(())
}

struct FarSide {
    exit: Exit,
    hop: SocketAddr,
    port: u16,
    resumed: TlsConnector,
    whole: TlsConnector,
}

impl FarSide {
    async fn new(plain: &str, tls: &str, ca_file: &str) -> anyhow::Result<Self> {
        let settings = inside::settings(plain, ca_file)?;
        let (metrics, stop) = (Arc::default(), CancellationToken::new());
        let exit = Exit::open(&settings, &metrics, &stop, &TaskTracker::new())?;
        let (_, port) = tls.rsplit_once(':').context("a port")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates([CertificateDer::from_pem_file(ca_file)?]);
        let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let resumed = TlsConnector::from(Arc::new(config.clone()));
        config.resumption = Resumption::disabled();
        Ok(Self {
            exit,
            hop: hop().await?,
            port: port.parse()?,
            resumed,
            whole: TlsConnector::from(Arc::new(config)),
        })
    }

    async fn once(&self, costs: &mut Costs) -> anyhow::Result<()> {
        let mut watch = Watch::start();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(8);
        let token = Token::parse(&token(1))?;
        let client = discord::connect(&self.exit, token, Peer::Own, deadline, Progress::default())?;
        costs.add(
            "the client's build, and its way through the exit",
            &mut watch,
        );
        drop(client);
        costs.add("their end", &mut watch);

        let client = client_of(self.hop);
        watch = Watch::start();
        let route = Route::CreateMessage { channel_id: 1 };
        let request = request::Request::builder(&route)
            .body(BODY.to_vec())
            .build()?;
        let answer = client.request::<serde_json::Value>(request).await?;
        answer.model().await?;
        drop(client);
        tokio::task::yield_now().await;
        costs.add(
            "the hop: twilight's request to a port on loopback, and its answer",
            &mut watch,
        );

        tokio::net::lookup_host(("localhost", self.port))
            .await?
            .next();
        costs.add("the look-up of a name", &mut watch);
        self.exchange(
            costs,
            &self.resumed,
            ["TLS, resumed", "its request", "its tear-down"],
        )
        .await?;
        let names = ["TLS, a whole handshake", "its request ", "its tear-down "];
        self.exchange(costs, &self.whole, names).await
    }

    async fn exchange(
        &self,
        costs: &mut Costs,
        tls: &TlsConnector,
        [handshake, request, tear_down]: [&'static str; 3],
    ) -> anyhow::Result<()> {
        let mut watch = Watch::start();
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await?;
        stream.set_nodelay(true)?;
        costs.add("a connection", &mut watch);
        let stream = tls
            .connect(ServerName::try_from("localhost")?, stream)
            .await?;
        costs.add(handshake, &mut watch);
        let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let asked = Request::post("/api/v10/channels/1/messages")
            .header(AUTHORIZATION, format!("Bot {}", token(1)))
            .header("host", "localhost")
            .body(Full::<Bytes>::from(BODY))?;
        let answer = sender.send_request(asked).await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.status());
        answer.into_body().collect().await?;
        costs.add(request, &mut watch);
        drop(sender);
        connection.await??;
        costs.add(tear_down, &mut watch);
        Ok(())
    }
}

/// A server that answers at once, as the exit would.
async fn hop() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = async |request: Request<hyper::body::Incoming>| {
        // What breaks shows as an answer that cannot be read.
        let _ = request.into_body().collect().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}")))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

/// A client as a call's, pointed at `hop`.
#[expect(clippy::disallowed_methods, reason = "it is what is measured")]
fn client_of(hop: SocketAddr) -> Client {
    Client::builder()
        .ratelimiter(None)
        .proxy(hop.to_string(), true)
        .token(token(1))
        .build()
}

impl Watch {
    fn start() -> Self {
        Self {
            cpu: cpu(),
            wall: Instant::now(),
        }
    }
}

impl Costs {
    /// Adds what has passed since the last part to that of this one.
    fn add(&mut self, name: &'static str, watch: &mut Watch) {
        let now = Watch::start();
        let index = self.0.iter().position(|(known, _)| *known == name);
        let index = index.unwrap_or_else(|| {
            self.0.push((name, Cost::default()));
            self.0.len() - 1
        });
        let cost = &mut self.0[index].1;
        cost.cpu += now.cpu.saturating_sub(watch.cpu);
        cost.wall += now.wall - watch.wall;
        *watch = Watch::start();
    }
}

/// This thread's time on a core.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
