//! Many calls of many bots: each message once and under its own bot, and nothing left of a call.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon, http::Client, lines::Lines, sandbox::SandboxProcess, websocket::Socket,
};

/// Messages before the first look at the process, and all messages of the test.
const FIRST: u64 = 2_000;
const ALL: u64 = 20_000;
/// Connections at once, of every framing over both doors.
const LANES: u64 = 10;
/// Calls under way on one raw connection.
const UNDER_WAY: usize = 16;
/// The first of the bots' user ids.
const FIRST_BOT: u64 = 1_300_000_000_000_000_000;

/// The made-up token of the bot that sends the message with this number.
fn token(number: u64) -> String {
    let user = URL_SAFE_NO_PAD.encode((FIRST_BOT + number).to_string());
    format!("{user}.Gabcde.{number:038}")
}

fn call(number: u64, channel: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": number, "method": "discord.sendMessage",
        "params": {"discord_token": token(number), "channel_id": channel,
            "content": number.to_string()}})
}

fn assert_sent(answer: &Value) {
    let number = answer["id"].as_u64().unwrap();
    let bot = (FIRST_BOT + number).to_string();
    assert_eq!(answer["result"]["bot_id"], json!(bot), "{answer}");
}

/// Sends on one raw connection, several calls under way at once.
fn send_lines(mut lines: Lines, numbers: impl Iterator<Item = u64>, channel: &str) {
    let mut under_way = 0;
    for number in numbers {
        lines.send(call(number, channel).to_string().as_bytes());
        under_way += 1;
        if under_way == UNDER_WAY {
            assert_sent(&lines.read());
            under_way -= 1;
        }
    }
    for _ in 0..under_way {
        assert_sent(&lines.read());
    }
}

/// Sends on one HTTP connection, one call after the other.
fn send_http(mut client: Client, numbers: impl Iterator<Item = u64>, channel: &str) {
    for number in numbers {
        let body = call(number, channel).to_string();
        let headers = [("content-type", "application/json")];
        let answer = client.send("POST", "/", &headers, body.as_bytes());
        assert_sent(&answer.json());
    }
}

/// Sends on one WebSocket, one call after the other.
fn send_websocket(mut socket: Socket, numbers: impl Iterator<Item = u64>, channel: &str) {
    for number in numbers {
        assert_sent(&socket.ask(&call(number, channel).to_string()));
    }
}

/// Sends the messages of a range over every framing and both doors at once.
fn send_all(daemon: &Daemon, channel: &str, range: std::ops::Range<u64>) {
    thread::scope(|scope| {
        for lane in 0..LANES {
            let width = usize::try_from(LANES).unwrap();
            let numbers = (range.start + lane..range.end).step_by(width);
            scope.spawn(move || match lane % 5 {
                0 => send_lines(daemon.lines(), numbers, channel),
                1 => send_lines(Lines::tcp(daemon.tcp), numbers, channel),
                2 => send_http(daemon.http(), numbers, channel),
                3 => send_websocket(Socket::connect(daemon), numbers, channel),
                _ => send_http(Client::plain(daemon.tcp), numbers, channel),
            });
        }
    });
}

/// What may not grow, whatever was sent.
const BOUNDED: [&str; 4] = [
    "discordd_runtime_tasks",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_threads",
];
/// How long what belonged to calls may take to go.
const SETTLING: Duration = Duration::from_secs(30);

/// The process's figures now.
pub(crate) fn figures(daemon: &Daemon) -> HashMap<String, f64> {
    let answer = daemon.http().send("GET", "/metrics", &[], b"");
    let text = String::from_utf8(answer.body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// Waits until what belonged to calls has gone and `settled` says so; a leak never goes.
pub(crate) fn settle(
    daemon: &Daemon,
    settled: impl Fn(&HashMap<String, f64>) -> bool,
) -> HashMap<String, f64> {
    let begun = Instant::now();
    loop {
        let figures = figures(daemon);
        if settled(&figures) || begun.elapsed() > SETTLING {
            return figures;
        }
    }
}

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
    let idle = figures(&daemon);
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
            let number: u64 = message["content"].as_str().unwrap().parse().unwrap();
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
