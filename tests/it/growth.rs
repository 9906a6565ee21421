//! Many calls of many bots: each message once and under its own bot, and nothing left of a call.

use std::collections::HashMap;

use serde_json::json;

use crate::support::{
    daemon::Daemon,
    many::{FIRST_BOT, TEXT, send_all, settle},
    sandbox::SandboxProcess,
};

/// Messages before the first look at the process, and all messages of the test.
const FIRST: u64 = 2_000;
const ALL: u64 = 20_000;

/// What may not grow, whatever was sent.
const BOUNDED: [&str; 4] = [
    "discordd_runtime_tasks",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_threads",
];

#[test]
fn twenty_thousand_messages_of_as_many_bots_arrive_once_and_leave_nothing() {
    hold(ALL);
}

/// Sends so many messages, each of a bot of its own, and holds that each arrives once and under its
/// own bot, and that nothing is left of them in the daemon. Gives what was measured.
pub(crate) fn hold(all: u64) -> Vec<String> {
    let history = (all + 1).to_string();
    let sandbox = SandboxProcess::start(&["--any-token", "--history", &history]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let channel = sandbox.channel("general");
    let idle = daemon.http().figures();
    send_all(&daemon, channel, 0..FIRST);
    // A connection is closed a moment after its last call.
    let before = settle(&daemon, |now| {
        now["process_open_fds"] <= idle["process_open_fds"]
    });
    send_all(&daemon, channel, FIRST..all);
    let no_more = |name: &str, now: &HashMap<String, f64>| now[name] <= before[name] * 1.1;
    let after = settle(&daemon, |now| BOUNDED.iter().all(|name| no_more(name, now)));
    let mut measured = Vec::new();
    for name in BOUNDED {
        let (before, now) = (before[name], after[name]);
        assert!(no_more(name, &after), "{name} grew from {before} to {now}");
        measured.push(format!(
            "{name}: {before} after {FIRST} messages, {now} after {all}"
        ));
    }

    let stats = sandbox.stats();
    assert_eq!(
        (stats.connections, stats.requests, stats.messages),
        (all, all, all)
    );
    let messages = sandbox.messages("general");
    let mut found: Vec<u64> = messages
        .iter()
        .map(|message| {
            let text = message["content"].as_str().unwrap();
            let number: u64 = text.strip_prefix(TEXT).unwrap().parse().unwrap();
            assert_eq!(
                message["author"]["id"],
                json!((FIRST_BOT + number).to_string())
            );
            number
        })
        .collect();
    found.sort_unstable();
    assert!(found.into_iter().eq(0..all));
    measured
}
