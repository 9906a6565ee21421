//! How costs grow: CPU for each call by connections and by bots, and memory by connections; printed,
//! and drawn into `growth.svg` beside this file.

use std::{fs, time::Duration};

use anyhow::Context as _;

use super::{
    Bench,
    call::{Call, Sender},
    contest::{self, Contender},
    load::Load,
    process::Scheme,
    start,
    svg::{self, Curve, Panel},
    table::{self, Table},
};

/// Where the curves are drawn.
const DRAWING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/bench/figures/growth.svg"
);
/// Connections that are open; calls go over all of them in turn.
const CONNECTIONS: [u32; 5] = [1, 16, 128, 1024, 10_000];
/// Bots that take turns.
const BOTS: [u32; 4] = [1, 10, 100, 1000];
/// Calls under way at once.
const AT_ONCE: u32 = 16;
/// Calls of a round: of `health`, and messages.
const CALLS: [u32; 2] = [40_000, 2000];
/// Rounds that each figure is the median of.
const ROUNDS: usize = 5;

type Points = Vec<(f64, f64)>;

/// Measures and draws the curves.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    start::raise_descriptor_limit()?;
    let mut table = Table::of_loads(
        format!("Growth, {AT_ONCE} calls under way at once"),
        &["Call", "Connections", "Bots"],
        &["RSS, MB"],
    );
    let [mut health, mut messages, mut by_bots, mut memory] = [const { Points::new() }; 4];
    for connections in CONNECTIONS {
        let load = Load::spread(connections, AT_ONCE, CALLS[0].max(connections));
        let [cpu, resident] = one(bench, Call::Health, load, &mut table)?;
        health.push((connections.into(), cpu));
        memory.push((connections.into(), resident));
        let load = Load::spread(connections, AT_ONCE, CALLS[1].max(connections));
        let call = Call::SendMessage(Sender::many("1"));
        let [cpu, _] = one(bench, call, load, &mut table)?;
        messages.push((connections.into(), cpu));
    }
    for bots in BOTS {
        let load = Load::spread(AT_ONCE, AT_ONCE, CALLS[1]);
        let call = Call::SendMessage(Sender::of(usize::try_from(bots)?, "1"));
        let [cpu, _] = one(bench, call, load, &mut table)?;
        by_bots.push((bots.into(), cpu));
    }
    let curve = |name, points| Curve { name, points };
    let panels = [
        Panel {
            title: "CPU for each call, µs",
            across: "open connections, or bots",
            by_tens: true,
            curves: vec![
                curve("health, by connections", health),
                curve("sendMessage, by connections", messages),
                curve("sendMessage, by bots", by_bots),
            ],
        },
        Panel {
            title: "Memory (RSS), MB",
            across: "open connections of lines",
            by_tens: false,
            curves: vec![curve("after health over each", memory)],
        },
    ];
    fs::write(DRAWING, svg::draw(&panels)).with_context(|| format!("write {DRAWING}"))?;
    Ok(vec![table])
}

/// Measures one load on a fresh daemon: CPU for each call in microseconds, and megabytes.
fn one(bench: &mut Bench, call: Call, load: Load, table: &mut Table) -> anyhow::Result<[f64; 2]> {
    let upstream = bench.upstream(Duration::ZERO)?;
    let mut daemon = bench.daemon(&upstream, Scheme::Plain)?;
    daemon.wait_until_ready()?;
    let bots = match &call {
        Call::SendMessage(sender) if sender.bots < usize::MAX => sender.bots.to_string(),
        Call::SendMessage(_) => "one a call".to_owned(),
        Call::Echo | Call::Health | Call::ListChannels(_) | Call::Route => String::new(),
    };
    let before = [call.to_string(), load.open().to_string(), bots];
    let contenders = [Contender::Server {
        process: &daemon.process,
        way: daemon.lines(),
        call,
        load,
    }];
    let [summary] = contest::measure(&mut bench.loader, &contenders, ROUNDS)?;
    // While they are open again: what each connection has cost is kept for the next one.
    let usage = daemon.process.usage()?;
    table.push_load(before, &summary, [table::megabytes(usage.resident)]);
    daemon.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
    let resident = usage.resident as f64 / 1e6;
    Ok([summary.cpu.as_secs_f64() * 1e6, resident])
}
