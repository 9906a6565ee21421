//! What a million messages leave behind.

use std::time::Duration;

use super::{
    Bench,
    call::{Call, Sender},
    load::Load,
    process::Scheme,
    table::{self, Table},
};

/// Messages after which the daemon's memory is looked at.
const LOOKS: [u32; 5] = [1000, 10_000, 100_000, 500_000, 1_000_000];
/// Messages of one load.
const STEP: u32 = 1000;
/// Connections, each with one message under way.
const CONNECTIONS: u32 = 16;

/// Measures the memory after more and more messages, each by a bot of its own.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Table>> {
    let upstream = bench.upstream(Duration::ZERO)?;
    let mut daemon = bench.daemon(&upstream, Scheme::Plain)?;
    daemon.wait_until_ready()?;
    let (way, call) = (daemon.lines(), Call::SendMessage(Sender::many("1")));
    let columns = ["Messages", "RSS, MB", "beside 10,000", "Threads"];
    let mut table = Table::new("Memory after many messages, 16 at once", &columns);
    let (mut sent, mut early) = (0, 1.0);
    for look in LOOKS {
        while sent < look {
            let load = Load::new(CONNECTIONS, 1, STEP.min(look - sent));
            bench.loader.run(&way, &call, load)?;
            sent += STEP;
        }
        let usage = daemon.process.usage()?;
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        let resident = usage.resident as f64;
        if look == LOOKS[1] {
            early = resident;
        }
        let beside = if look < LOOKS[1] {
            String::new()
        } else {
            table::ratio(resident, early)
        };
        let threads = usage.threads().to_string();
        table.push([
            look.to_string(),
            table::megabytes(usage.resident),
            beside,
            threads,
        ]);
    }
    daemon.stop()?;
    Ok(vec![table])
}
