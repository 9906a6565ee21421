//! The way in: what a call costs by method, framing and concurrency, over an upstream without TLS
//! and without delay, so that nothing hides it.

use std::time::Duration;

use super::{
    Bench,
    call::{Call, Sender, Way},
    contest::{self, Contender},
    cores::Cores,
    load::Load,
    process::{Process, Program, Scheme},
    role::Role,
    table::{self, Table},
};

/// Rounds that each figure is the median of.
const ROUNDS: usize = 5;
/// Calls at once: on one connection one by one, on many one by one, and on one all at once.
const HEALTH_LOADS: [Load; 3] = [
    Load::new(1, 1, 8000),
    Load::new(16, 1, 20_000),
    Load::new(1, 64, 40_000),
];
/// Connections, each with one message under way, and messages in a round.
const MESSAGE_LOADS: [Load; 3] = [
    Load::new(1, 1, 800),
    Load::new(16, 1, 2000),
    Load::new(64, 1, 2000),
];

/// Measures `health` beside servers that do nothing, and the other methods on every way in.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    Ok(vec![health(bench)?, messages(bench)?])
}

fn health(bench: &mut Bench) -> anyhow::Result<Table> {
    let mut table = Table::of_loads(
        "The way in, beside an echo of the same framing and a bare axum route: each process on any \
         core, and then the servers on one and the load on another",
        &["Server", "Way in", "Load", "Cores"],
        &["calls/s, ratio", "p50, ratio"],
    );
    for cores in Cores::all()? {
        measure_health(bench, cores, &mut table)?;
    }
    Ok(table)
}

fn measure_health(bench: &mut Bench, cores: Cores, table: &mut Table) -> anyhow::Result<()> {
    let bound = cores.bind_servers()?;
    let upstream = bench.upstream(Duration::ZERO)?;
    let mut daemon = bench.daemon(&upstream, Scheme::Plain)?;
    let tcp = daemon.wait_until_ready()?;
    let echo_socket = bench.socket();
    let echo = Role::start(&["echo", &echo_socket.to_string_lossy()])?;
    let route = Role::start(&["route"])?;
    drop(bound);
    let _bound = cores.bind_load()?;
    let pairs = [
        (daemon.lines(), Way::Lines(echo_socket), Call::Echo, &echo),
        (
            Way::Http(tcp),
            Way::Http(route.addresses[0]),
            Call::Route,
            &route,
        ),
    ];
    for (way, other_way, other_call, other) in pairs {
        for load in HEALTH_LOADS {
            // HTTP has no more than one call under way on a connection.
            if matches!(way, Way::Http(_)) && !load.is_sequential() {
                continue;
            }
            let server = |process, way: &Way, call: &Call| Contender::Server {
                process,
                way: way.clone(),
                call: call.clone(),
                load,
            };
            let contenders = [
                server(&daemon.process, &way, &Call::Health),
                server(&other.process, &other_way, &other_call),
            ];
            let [ours, bare] = contest::measure(&mut bench.loader, &contenders, ROUNDS)?;
            let ratios = [
                table::ratio(ours.rate, bare.rate),
                table::ratio_of_times(ours.within(0.5), bare.within(0.5)),
            ];
            let named = |call: &Call| {
                let cores = cores.words().to_owned();
                [call.to_string(), way.to_string(), load.to_string(), cores]
            };
            table.push_load(named(&Call::Health), &ours, ratios);
            let none = [const { String::new() }; 2];
            table.push_load(named(&other_call), &bare, none);
        }
    }
    daemon.stop()
}

fn messages(bench: &mut Bench) -> anyhow::Result<Table> {
    let mut table = Table::of_loads(
        "Methods on every way in, over an upstream without TLS; beside each the CPU beyond that of \
         the same operation called in process",
        &["Method", "Way in", "Load"],
        &["beyond in process, µs", "RSS, MB"],
    );
    for load in MESSAGE_LOADS {
        let upstream = bench.upstream(Duration::ZERO)?;
        let mut daemon = bench.daemon(&upstream, Scheme::Plain)?;
        let tcp = daemon.wait_until_ready()?;
        let send = Call::SendMessage(Sender::many("1"));
        let server = |way: Way, call: Call| server(&daemon.process, way, call, load);
        let contenders = [
            Contender::Program(inside(&upstream, load)?),
            server(daemon.lines(), send.clone()),
            server(Way::Http(tcp), send.clone()),
            server(Way::WebSocket(tcp), send.clone()),
            server(Way::Mcp(tcp), send),
            server(daemon.lines(), Call::ListChannels(Sender::many("2"))),
        ];
        let summaries = contest::measure(&mut bench.loader, &contenders, ROUNDS)?;
        let in_process = summaries[0].cpu;
        for (contender, summary) in contenders.iter().zip(&summaries) {
            let beyond = summary.cpu.saturating_sub(in_process);
            let (method, way, beyond) = match contender {
                Contender::Program(_) => {
                    let method = Call::SendMessage(Sender::many("1")).to_string();
                    (method, "in process".to_owned(), String::new())
                }
                Contender::Server { call, way, .. } => {
                    let same = matches!(call, Call::SendMessage(_));
                    let beyond = same.then(|| table::microseconds(beyond));
                    (
                        call.to_string(),
                        way.to_string(),
                        beyond.unwrap_or_default(),
                    )
                }
            };
            let resident = table::resident(contender.usage()?.as_ref());
            table.push_load([method, way, load.to_string()], summary, [beyond, resident]);
        }
        drop(contenders);
        daemon.stop()?;
    }
    Ok(table)
}

fn server(process: &Process, way: Way, call: Call, load: Load) -> Contender<'_> {
    Contender::Server {
        process,
        way,
        call,
        load,
    }
}

/// The same messages, called in a process of this program's.
fn inside(upstream: &super::Upstream, load: Load) -> anyhow::Result<Program> {
    let ca_file = upstream.ca_file.to_string_lossy().into_owned();
    let arguments = [
        super::role::FLAG.to_owned(),
        "inside".to_owned(),
        upstream.base_url(Scheme::Plain),
        ca_file,
        "1".to_owned(),
        load.under_way().to_string(),
        load.calls.to_string(),
    ];
    Ok(Program {
        file: std::env::current_exe()?,
        arguments: arguments.into(),
        environment: Vec::new(),
    })
}
