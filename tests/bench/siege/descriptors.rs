//! Descriptors exhausted: connections that take all that the daemon may have, how much it does about
//! it, and how soon it serves again when they are gone.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    attack::Place,
    say,
    support::lines::Lines,
    target::{Ground, Target},
};

/// Descriptors that the daemon is left with beside those that it has.
const ROOM: usize = 100;
/// Connections that want one each.
const CONNECTIONS: usize = 400;
/// How long it is watched without any.
const TIME: Duration = Duration::from_secs(5);
/// Most that it may use of a core meanwhile, in percent.
const MAX_CPU_PERCENT: f64 = 5.0;
/// Most that a call may take after relief.
const MAX_RELIEF: Duration = Duration::from_secs(1);

/// Takes all descriptors, watches, gives them back, and gives the bounds that are broken.
pub(crate) fn run(ground: &Ground) -> Vec<String> {
    let target = ground.start();
    target.limit_descriptors(target.descriptors() + ROOM);
    let taken = take_all(&target);
    let before = target.usage();
    thread::sleep(TIME);
    let cpu = target.usage().cpu_since(&before);
    let cpu_percent = cpu.as_secs_f64() / TIME.as_secs_f64() * 100.0;
    let began = Instant::now();
    drop(taken);
    let health = json!({"jsonrpc": "2.0", "id": 1, "method": "health"});
    let healthy = Lines::unix(&target.daemon.socket).ask(&health);
    let first = began.elapsed();
    assert_eq!(healthy["result"]["status"], "healthy", "{healthy}");
    let params = json!([
        ground.sandbox.token(0),
        ground.sandbox.channel("general"),
        "x"
    ]);
    let message = json!({"jsonrpc": "2.0", "id": 2, "method": "discord.sendMessage",
        "params": params});
    let posted = Lines::unix(&target.daemon.socket).ask(&message);
    let relief = began.elapsed();
    assert_eq!(posted["result"]["success"], true, "{posted}");
    say(&format!(
        "\nWith all descriptors taken the daemon uses {cpu_percent:.2} % of a core; after relief a new \
         connection is answered in {} ms, and a message posted in {} ms.",
        first.as_millis(),
        relief.as_millis()
    ));
    let mut broken = Vec::new();
    if cpu_percent >= MAX_CPU_PERCENT {
        broken.push(format!("descriptors: {cpu_percent:.2} % of a core"));
    }
    if relief > MAX_RELIEF {
        broken.push(format!("descriptors: relief takes {relief:?}"));
    }
    broken
}

/// Connects until the daemon has no descriptor left; further connections wait in the kernel.
fn take_all(target: &Target) -> Vec<TcpStream> {
    let address = target.address(Place::Door);
    let connect = |_| TcpStream::connect(address).unwrap();
    let taken: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    let full = "cannot accept connections";
    target.daemon.wait_for_log(full);
    taken
}
