//! Many calls, each with a token and a text of its own that can be searched for.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use discordd::operation::Entry;
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::{daemon::Daemon, http::Client, lines::Lines, websocket::Socket};

/// Connections at once, of every framing over both doors.
const LANES: u64 = 10;
/// Calls under way on one raw connection.
const UNDER_WAY: usize = 16;
/// How long what belonged to calls may take to go.
const SETTLING: Duration = Duration::from_secs(30);

/// The first of the bots' user ids.
pub(crate) const FIRST_BOT: u64 = 1_300_000_000_000_000_000;

/// How the last part of every token begins and ends; between stands its number in six digits.
pub(crate) const TOKEN_PARTS: (&str, &str) = (".Gabcde.tokenAtItsBegin", "TokenEnd");
/// How every message begins; behind it stands its number in six digits.
pub(crate) const TEXT: &str = "a message that is nobody's business, ";

/// The made-up token of the bot that sends the message with this number.
pub(crate) fn token(number: u64) -> String {
    let user = URL_SAFE_NO_PAD.encode((FIRST_BOT + number).to_string());
    let (begin, end) = TOKEN_PARTS;
    format!("{user}{begin}{number:06}{end}")
}

/// The message with this number.
pub(crate) fn text(number: u64) -> String {
    format!("{TEXT}{number:06}")
}

/// The call that sends the message with this number.
pub(crate) fn call(number: u64, channel: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": number, "method": "discord.sendMessage",
        "params": {"discord_token": token(number), "channel_id": channel,
            "content": text(number)}})
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
pub(crate) fn send_all(daemon: &Daemon, channel: &str, range: std::ops::Range<u64>) {
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

/// Waits until what belonged to calls has gone and `settled` says so; a leak never goes.
pub(crate) fn settle(
    daemon: &Daemon,
    settled: impl Fn(&HashMap<String, f64>) -> bool,
) -> HashMap<String, f64> {
    let begun = Instant::now();
    loop {
        let figures = daemon.http().figures();
        if settled(&figures) || begun.elapsed() > SETTLING {
            return figures;
        }
    }
}

/// Params of any operation, made from what it says that it takes: its token, and wherever a text of
/// the caller's may stand, `text`.
pub(crate) fn params(entry: &Entry, token: Option<&str>, channel: &str, text: &str) -> Value {
    let schema = (entry.params)(&mut SchemaGenerator::default()).to_value();
    let mut params = Map::new();
    for (name, value) in [
        ("channel_id", json!(channel)),
        ("content", json!(text)),
        ("embeds", json!([{ "description": text }])),
    ] {
        if schema["properties"][name].is_object() {
            params.insert(name.to_owned(), value);
        }
    }
    if let Some(token) = token.filter(|_| entry.takes_token()) {
        params.insert("discord_token".to_owned(), json!(token));
    }
    Value::Object(params)
}
