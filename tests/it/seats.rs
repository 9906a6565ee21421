//! Where connections are served: floods on the thread at the doors, calls on those inside.

use std::fs;

use serde_json::json;

use crate::support::{
    attacker::{Attacker, UPGRADE, frame, post},
    daemon::Daemon,
};

const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;

/// How long the daemon's threads ran, in ticks of the clock: that at the doors, and those inside.
fn ticks(daemon: &Daemon) -> [u64; 2] {
    let mut ran = [0, 0];
    for task in fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let (name, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // In user space and in the kernel: proc_pid_stat(5).
        let ticks = [fields[11], fields[12]].map(|it| it.parse::<u64>().unwrap());
        ran[usize::from(name.contains("(serve-"))] += ticks.iter().sum::<u64>();
    }
    ran
}

/// Goes on until the daemon has run for half a second, and gives how much of that at the doors and how
/// much inside, in ticks.
fn ticks_of(daemon: &Daemon, mut go_on: impl FnMut()) -> [u64; 2] {
    let before = ticks(daemon);
    loop {
        go_on();
        let now = ticks(daemon);
        let ran = [now[0] - before[0], now[1] - before[1]];
        if ran[0] + ran[1] >= 50 {
            return ran;
        }
    }
}

#[test]
fn floods_are_served_at_the_doors_and_calls_inside() {
    let daemon = Daemon::start("http://127.0.0.1:9", &[]);
    let flood = |name, first: &[u8], again: &[u8]| {
        let mut attackers: Vec<Attacker> = Vec::new();
        let [doors, inside] = ticks_of(&daemon, || {
            while attackers.len() < 20 {
                attackers.push(Attacker::connect(&daemon, first, again).unwrap());
            }
            attackers.retain_mut(|it| it.go_on() && it.read_all());
        });
        assert!(
            doors > 4 * inside,
            "{name}: {inside} ticks inside, {doors} at the doors"
        );
    };
    let text = vec![b'x'; 1 << 20];
    flood("lines", b"", format!("{HEALTH}\n").as_bytes());
    flood("HTTP", b"", &post(HEALTH.len(), HEALTH.as_bytes()));
    flood(
        "WebSocket",
        UPGRADE.as_bytes(),
        &frame(0x81, HEALTH.as_bytes()),
    );
    flood("texts", b"", &text);
    flood("bodies", b"", &post(text.len(), &text));

    let mut line = daemon.lines();
    let [doors, inside] = ticks_of(&daemon, || {
        for id in 0..100 {
            line.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "health"}));
        }
    });
    assert!(
        inside > 4 * doors,
        "{inside} ticks inside, {doors} at the doors"
    );
}
