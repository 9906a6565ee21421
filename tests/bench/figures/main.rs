//! The figures of the real binary: how soon it answers, how much it carries, what a call costs.
//!
//! `cargo bench --bench figures` starts the daemon, and a sandbox in Discord's place, as processes
//! of their own and prints one table. It must not judge a speed; a wrong answer, a lost call or a
//! warning of the daemon ends it with an error.

mod call;
mod load;
mod process;
mod table;
mod usage;

use std::{
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use self::{
    call::{Call, Way},
    load::{Load, Loader},
    process::{Daemon, Folder, Sandbox, Upstream},
    table::{Row, Table},
    usage::Usage,
};

/// Starts that the time to the first answer is the median of.
const STARTS: usize = 20;
/// How long it is waited before a socket that is not there yet is tried again.
const CONNECT_PAUSE: Duration = Duration::from_micros(50);
/// Runs of each load; the one with the median rate is shown.
const ROUNDS: usize = 3;
/// Messages between the two looks at an idle daemon's memory.
const MEMORY_CALLS: u32 = 1000;
/// `health` calls one after the other, over raw lines.
const LINES_SEQUENTIAL_CALLS: u32 = 40_000;
/// `health` calls with many under way, over raw lines.
const LINES_PARALLEL_CALLS: u32 = 200_000;
/// `health` calls one after the other, over HTTP.
const HTTP_SEQUENTIAL_CALLS: u32 = 10_000;
/// `health` calls with many under way, over HTTP.
const HTTP_PARALLEL_CALLS: u32 = 50_000;
/// Messages one after the other, and with many under way, to an upstream without TLS.
const PLAIN_CALLS: [u32; 2] = [1500, 5000];
/// Messages one after the other, and with many under way, to an upstream with TLS.
const TLS_CALLS: [u32; 2] = [800, 2000];
/// Messages under way at once.
const CONCURRENCY: [u32; 3] = [1, 16, 64];

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs a bench too, and does not want to wait for one.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = Folder::new()?;
    let sandbox = Sandbox::start(&folder)?;
    let mut bench = Bench {
        folder,
        sandbox,
        loader: Loader::new()?,
        table: Table::default(),
    };
    bench.starts()?;
    bench.memory()?;
    bench.health()?;
    bench.surfaces()?;
    bench.messages(Upstream::Plain, PLAIN_CALLS)?;
    bench.messages(Upstream::Tls, TLS_CALLS)?;
    bench.messages(Upstream::TlsWithoutResumption, TLS_CALLS)?;
    io::stdout().write_all(bench.table.to_string().as_bytes())?;
    Ok(())
}

/// What all figures are taken with.
struct Bench {
    folder: Folder,
    sandbox: Sandbox,
    loader: Loader,
    table: Table,
}

impl Bench {
    /// Measures from the start of a process to its first answer.
    fn starts(&mut self) -> anyhow::Result<()> {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            let daemon = self.daemon(Upstream::Plain)?;
            let way = daemon.lines();
            loop {
                match self.loader.run(&way, &Call::Health, Load::ONE) {
                    Ok(_) => break,
                    Err(err) if !err.is::<io::Error>() => return Err(err),
                    Err(err) if began.elapsed() > process::READY_TIMEOUT => return Err(err),
                    // The socket is not there yet.
                    Err(_) => thread::sleep(CONNECT_PAUSE),
                }
            }
            times.push(began.elapsed());
            daemon.stop()?;
        }
        times.sort_unstable();
        let name = format!("start to first answer, median of {STARTS}");
        let row = Row::new(name, table::milliseconds(load::percentile(&times, 50)));
        self.table.push(row);
        Ok(())
    }

    /// Measures the memory of a daemon with nothing to do, and the file it is.
    fn memory(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.daemon(Upstream::Plain)?;
        daemon.wait_until_ready()?;
        let fresh = Row::new("idle, just ready", "").with_usage(&daemon.usage()?);
        let load = Load::sequential(MEMORY_CALLS);
        self.loader.run(&daemon.lines(), &self.message(), load)?;
        let name = format!("idle, after {MEMORY_CALLS} messages one by one");
        let used = Row::new(name, "").with_usage(&daemon.usage()?);
        daemon.stop()?;
        let binary = process::binary()?;
        let stripped = if binary.is_stripped { "" } else { "not " };
        let name = format!("binary, {stripped}stripped");
        let size = Row::new(name, table::megabytes(binary.bytes));
        self.table.extend([fresh, used, size]);
        Ok(())
    }

    /// Measures the way in: calls that ask nothing of Discord.
    fn health(&mut self) -> anyhow::Result<()> {
        let mut daemon = self.daemon(Upstream::Plain)?;
        let tcp = daemon.wait_until_ready()?;
        let (lines, http) = (daemon.lines(), Way::Http(tcp));
        let (sequential, parallel) = (LINES_SEQUENTIAL_CALLS, LINES_PARALLEL_CALLS);
        for (way, load) in [
            (&lines, Load::sequential(sequential)),
            (&lines, Load::new(1, 64, parallel)),
            (&lines, Load::new(16, 16, parallel)),
            (&http, Load::sequential(HTTP_SEQUENTIAL_CALLS)),
            (&http, Load::new(64, 1, HTTP_PARALLEL_CALLS)),
        ] {
            let name = format!("health, {way}, {load}");
            let row = self.measure(name, &daemon, way, &Call::Health, load)?;
            self.table.push(row);
        }
        daemon.stop()
    }

    /// Measures what MCP costs beside JSON-RPC: the same messages over the same HTTP.
    fn surfaces(&mut self) -> anyhow::Result<()> {
        self.sandbox = Sandbox::start(&self.folder)?;
        let mut daemon = self.daemon(Upstream::Plain)?;
        let tcp = daemon.wait_until_ready()?;
        let call = self.message();
        for way in [Way::Http(tcp), Way::Mcp(tcp)] {
            for load in [
                Load::sequential(PLAIN_CALLS[0]),
                Load::new(16, 1, PLAIN_CALLS[1]),
            ] {
                let name = format!("sendMessage, {way}, {load}");
                let row = self.measure(name, &daemon, &way, &call, load)?;
                self.table.push(row);
            }
        }
        daemon.stop()
    }

    /// Measures the whole way: messages, each under a token of its own.
    fn messages(&mut self, upstream: Upstream, calls: [u32; 2]) -> anyhow::Result<()> {
        // On ports of its own: connections that ended lately slow down new ones to the same port.
        self.sandbox = Sandbox::start(&self.folder)?;
        let mut daemon = self.daemon(upstream)?;
        daemon.wait_until_ready()?;
        let (way, call) = (daemon.lines(), self.message());
        for under_way in CONCURRENCY {
            let load = if under_way == 1 {
                Load::sequential(calls[0])
            } else {
                // Each caller has a connection of its own, as most callers will.
                Load::new(under_way, 1, calls[1])
            };
            let name = format!("sendMessage, {upstream}, {load}");
            let row = self.measure(name, &daemon, &way, &call, load)?;
            self.table.push(row);
        }
        daemon.stop()
    }

    /// Puts the same load on the daemon a few times and describes the run with the median rate.
    fn measure(
        &mut self,
        name: String,
        daemon: &Daemon,
        way: &Way,
        call: &Call,
        load: Load,
    ) -> anyhow::Result<Row> {
        self.loader.run(way, call, load.warm_up())?;
        let mut runs = Vec::new();
        for _ in 0..ROUNDS {
            let before = daemon.usage()?;
            let run = self.loader.run(way, call, load)?;
            runs.push((run, daemon.usage()?.cpu_since(&before)));
        }
        runs.sort_by_key(|(run, _)| run.took);
        let (run, cpu) = &runs[ROUNDS / 2];
        let rate = table::rate(load.calls, run.took);
        Ok(Row::new(name, rate)
            .with_waits(&run.waits)
            .with_cpu(*cpu / load.calls)
            .with_usage(&daemon.usage()?))
    }

    fn daemon(&self, upstream: Upstream) -> anyhow::Result<Daemon> {
        Daemon::start(&self.folder, &self.sandbox, upstream)
    }

    fn message(&self) -> Call {
        Call::SendMessage {
            channel_id: self.sandbox.channel_id.clone(),
        }
    }
}
