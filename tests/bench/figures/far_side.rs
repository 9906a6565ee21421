//! The far side: a message beside the same request made by a fresh twilight client directly, with
//! the same upstream, over HTTP and over TLS, at once and late.

use std::time::Duration;

use super::{
    Bench,
    call::{Call, Sender},
    contest::{self, Contender, Summary},
    load::Load,
    process::{Daemon, Program, Scheme, Upstream},
    table::{self, Table},
    usage,
};

/// Rounds that each figure is the median of.
const ROUNDS: usize = 7;
/// Messages in a burst of [`AT_ONCE`].
const BURST_CALLS: u32 = 6000;
/// Messages under way at once in a burst.
const AT_ONCE: u32 = 300;
/// How late the upstream answers, in milliseconds, and the loads that are tried with it.
const CASES: [(u64, &[Load]); 3] = [
    (0, &[Load::new(1, 1, 400), Load::new(16, 1, 1200)]),
    (1, &[Load::new(1, 1, 200), Load::new(16, 1, 1200)]),
    (100, &[Load::new(1, 1, 10), Load::new(64, 1, 320)]),
];

/// Measures messages beside the floor.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for (delay_ms, loads) in CASES {
        let delay = Duration::from_millis(delay_ms);
        let mut table = Table::of_loads(
            format!("Messages beside twilight alone, an upstream that answers after {delay_ms} ms"),
            &["Who", "Upstream", "Under way"],
            &[
                "calls/s, ratio",
                "p50, ratio",
                "p99, ratio",
                "CPU, ratio",
                "RSS, MB",
            ],
        );
        for load in loads {
            over_tls(bench, delay, *load, &mut table)?;
            over_http(bench, delay, *load, &mut table)?;
        }
        tables.push(table);
    }
    Ok(tables)
}

fn over_tls(
    bench: &mut Bench,
    delay: Duration,
    load: Load,
    table: &mut Table,
) -> anyhow::Result<()> {
    let upstream = bench.upstream(delay)?;
    let mut resumed = bench.daemon(&upstream, Scheme::Tls)?;
    let mut whole = bench.daemon(&upstream, Scheme::TlsWithoutResumption)?;
    resumed.wait_until_ready()?;
    whole.wait_until_ready()?;
    let as_it_comes = floor(bench, &upstream, Scheme::Tls, load, false);
    let without_delay = floor(bench, &upstream, Scheme::Tls, load, true);
    let contenders = [
        messages(&resumed, load),
        Contender::Program(without_delay),
        messages(&whole, load),
        Contender::Program(as_it_comes),
    ];
    let summaries = contest::measure(&mut bench.loader, &contenders, ROUNDS)?;
    let names = [
        "discordd, sessions resumed",
        "twilight, NODELAY forced",
        "discordd, whole handshakes",
        "twilight as it comes",
    ];
    for ((name, contender), summary) in names.iter().zip(&contenders).zip(&summaries) {
        push(table, name, "TLS", load, contender, summary, &summaries[1])?;
    }
    drop(contenders);
    resumed.stop()?;
    whole.stop()
}

fn over_http(
    bench: &mut Bench,
    delay: Duration,
    load: Load,
    table: &mut Table,
) -> anyhow::Result<()> {
    let upstream = bench.upstream(delay)?;
    let mut daemon = bench.daemon(&upstream, Scheme::Plain)?;
    daemon.wait_until_ready()?;
    let floor = floor(bench, &upstream, Scheme::Plain, load, false);
    let contenders = [messages(&daemon, load), Contender::Program(floor)];
    let summaries = contest::measure(&mut bench.loader, &contenders, ROUNDS)?;
    let names = ["discordd", "twilight as it comes"];
    for ((name, contender), summary) in names.iter().zip(&contenders).zip(&summaries) {
        push(table, name, "HTTP", load, contender, summary, &summaries[1])?;
    }
    drop(contenders);
    daemon.stop()
}

fn push(
    table: &mut Table,
    name: &str,
    upstream: &str,
    load: Load,
    contender: &Contender<'_>,
    summary: &Summary,
    floor: &Summary,
) -> anyhow::Result<()> {
    let ratios = [
        table::ratio(summary.rate, floor.rate),
        table::ratio_of_times(summary.within(0.5), floor.within(0.5)),
        table::ratio_of_times(summary.within(0.99), floor.within(0.99)),
        table::ratio_of_times(summary.cpu, floor.cpu),
        table::resident(contender.usage()?.as_ref()),
    ];
    let before = [
        name.to_owned(),
        upstream.to_owned(),
        load.under_way().to_string(),
    ];
    table.push_load(before, summary, ratios);
    Ok(())
}

/// Messages over raw lines, each by a bot of its own.
fn messages(daemon: &Daemon, load: Load) -> Contender<'_> {
    Contender::Server {
        process: &daemon.process,
        way: daemon.lines(),
        call: Call::SendMessage(Sender::many("1")),
        load,
    }
}

/// The same messages by fresh twilight clients.
fn floor(
    bench: &Bench,
    upstream: &Upstream,
    scheme: Scheme,
    load: Load,
    without_delay: bool,
) -> Program {
    let mut environment = vec![("SSL_CERT_FILE", upstream.ca_file.clone())];
    if without_delay {
        environment.push(("LD_PRELOAD", bench.built.nodelay.clone()));
    }
    let (under_way, calls) = (load.under_way().to_string(), load.calls.to_string());
    Program {
        file: bench.built.floor.clone(),
        arguments: vec![upstream.base_url(scheme), "1".to_owned(), under_way, calls],
        environment,
    }
}

/// Measures whether anybody waits for a lost SYN when many calls begin at once.
pub(crate) fn measure_burst(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    let mut table = Table::of_loads(
        format!("{AT_ONCE} messages under way at once"),
        &["Upstream"],
        &["longest, ms", "SYNs lost", "RSS, MB"],
    );
    for (name, scheme) in [("HTTP", Scheme::Plain), ("TLS", Scheme::Tls)] {
        let upstream = bench.upstream(Duration::ZERO)?;
        let mut daemon = bench.daemon(&upstream, scheme)?;
        daemon.wait_until_ready()?;
        let contenders = [messages(&daemon, Load::new(AT_ONCE, 1, BURST_CALLS))];
        let before = usage::lost_syns()?;
        let [summary] = contest::measure(&mut bench.loader, &contenders, 3)?;
        let lost = usage::lost_syns()? - before;
        let behind = [
            table::milliseconds(summary.within(1.0)),
            lost.to_string(),
            table::resident(contenders[0].usage()?.as_ref()),
        ];
        table.push_load([name.to_owned()], &summary, behind);
        drop(contenders);
        daemon.stop()?;
    }
    Ok(vec![table])
}
