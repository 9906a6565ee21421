//! Attacks on each framing: the daemon's memory stays bounded, and honest callers are answered
//! meanwhile.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    attacker::{Attacker, UPGRADE, frame, post},
    daemon::Daemon,
    http::Client,
    lines::Lines,
    upstream::Upstream,
    websocket::Socket,
};

const NOWHERE: &str = "http://127.0.0.1:9";
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#;
/// How much more memory the process may hold for all that attackers do, in KiB.
const ROOM_KIB: u64 = 16 << 10;
/// How long an attack goes on.
const TIME: Duration = Duration::from_secs(3);

/// Attacks over `count` connections, each made anew when it is closed, while honest callers ask.
fn attack(name: &str, count: usize, first: &[u8], again: &[u8]) {
    let daemon = Daemon::start(NOWHERE, &[]);
    let health = json!({"jsonrpc": "2.0", "id": "h", "method": "health"});
    let (mut line, mut tcp) = (daemon.lines(), Lines::tcp(daemon.tcp));
    line.ask(&health);
    tcp.ask(&health);
    let before = daemon.resident_kib();
    let (end, mut most) = (Instant::now() + TIME, 0);
    let mut attackers: Vec<Attacker> = Vec::new();
    while Instant::now() < end {
        while attackers.len() < count {
            attackers.push(Attacker::connect(&daemon, first, again).unwrap());
        }
        attackers.retain_mut(Attacker::go_on);
        assert_eq!(line.ask(&health)["id"], "h", "{name}");
        assert_eq!(tcp.ask(&health)["id"], "h", "{name}");
        most = most.max(daemon.resident_kib().saturating_sub(before));
    }
    assert!(most < ROOM_KIB, "{name}: {most} KiB");
    assert_eq!(daemon.lines().ask(&health)["id"], "h", "{name}");
}

#[test]
fn whoever_asks_and_never_reads_costs_bounded_memory() {
    let line = format!("{CALL}\n");
    attack("lines", 40, line.as_bytes(), line.as_bytes());
    let request = post(CALL.len(), CALL.as_bytes());
    attack("HTTP", 40, &request, &request);
    let message = frame(0x81, CALL.as_bytes());
    attack("WebSocket", 40, UPGRADE.as_bytes(), &message);
    attack("pings", 40, UPGRADE.as_bytes(), &[0x89, 0x80, 0, 0, 0, 0]);
}

#[test]
fn whoever_never_ends_a_request_costs_bounded_memory() {
    let nearly = vec![b'x'; (1 << 20) - 100];
    let text = [b"[\"", &nearly[..]].concat();
    attack("texts", 200, &text, b"");
    attack("bodies", 200, &post(1 << 20, &text), b"");
    let mut message = frame(0x01, &text);
    message.splice(0..0, UPGRADE.bytes());
    attack("messages", 200, &message, b"");
    attack("heads", 2000, b"POST / HTTP/1.1\r\nhost: x\r\nx: ", b"");
    let long = [b"GET / HTTP/1.1\r\nx: ", &nearly[..60_000]].concat();
    attack("long heads", 500, &long, b"");
}

#[test]
fn nonsense_without_end_costs_bounded_memory() {
    attack("brackets", 20, b"", &vec![b'['; 1 << 16]);
    attack("broken texts", 20, b"", &b"{]\n".repeat(1000));
    let batch = format!("[{}]\n", vec!["1"; 100].join(","));
    attack("batches of nothing", 20, b"", batch.as_bytes());
    attack("a text", 4, b"[\"", &vec![b'x'; 1 << 16]);
}

#[test]
fn whoever_reads_sixteen_bytes_at_a_time_costs_bounded_memory() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let before = daemon.resident_kib();
    let line = format!("{CALL}\n").repeat(20);
    let mut attackers: Vec<Attacker> = (0..40)
        .map(|_| Attacker::connect(&daemon, b"", line.as_bytes()).unwrap())
        .collect();
    let (end, mut most) = (Instant::now() + TIME, 0);
    while Instant::now() < end {
        attackers.retain_mut(Attacker::go_on);
        for attacker in &mut attackers {
            let _ = attacker.stream.read(&mut [0; 16]);
        }
        assert_eq!(daemon.call("health", &json!({}))["id"], 1);
        most = most.max(daemon.resident_kib().saturating_sub(before));
    }
    assert!(most < ROOM_KIB, "{most} KiB");
}

#[test]
fn whoever_has_the_most_is_told_that_others_need_the_memory() {
    let daemon = Daemon::start(NOWHERE, &NARROW);
    let text = |bytes: usize| [b"[\"", &vec![b'x'; bytes][..]].concat();
    // One that is short is not disturbed by those that are long.
    let mut short = daemon.lines();
    short.send(&text(20_000));
    let mut long: Vec<Lines> = Vec::new();
    for bytes in [290_000, 100_000, 100_000, 100_000, 100_000, 100_000] {
        let mut lines = daemon.lines();
        lines.send(&text(bytes));
        long.push(lines);
    }
    let refused = long.remove(0).rest();
    assert_no_room(&refused[0]["error"], "this connection has the most of them");
    short.send(b"\"]");
    assert_eq!(short.read()[0]["error"]["code"], -32600);
    let figures = daemon.http().figures();
    assert!(figures["discordd_refusals_total{reason=\"memory\"}"] >= 1.0);
}

/// Little memory, so that few bytes fill it.
const NARROW: [(&str, &str); 3] = [
    ("DISCORDD_LIMITS__MEMORY", "600KiB"),
    ("DISCORDD_LIMITS__REQUEST_BYTES", "300KiB"),
    ("DISCORDD_LIMITS__RESPONSE_BYTES", "300KiB"),
];

/// A call to Discord that is made longer by this many spaces.
fn long_call(id: &str, spaces: usize) -> String {
    let call = json!({"jsonrpc": "2.0", "id": id, "method": "discord.sendMessage",
        "params": {"discord_token": "t", "channel_id": "1", "content": "x"}});
    let padding = " ".repeat(spaces);
    call.to_string().replacen('{', &format!("{{{padding}"), 1)
}

fn assert_no_room(error: &Value, words: &str) {
    assert_eq!(error["code"], 503, "{error}");
    let data = if error["data"].is_null() {
        error
    } else {
        &error["data"]
    };
    assert_eq!(data["kind"], "unavailable", "{error}");
    assert_eq!(data["delivered"], "no", "{error}");
    assert_eq!(data["retryable"], true, "{error}");
    assert_eq!(data["retry_after_ms"], 1000, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn whoever_gives_way_is_answered_what_was_asked_before() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(&upstream.base_url(), &NARROW);
    let half = |bytes| [b"[\"", &vec![b'x'; bytes][..]].concat();
    let mut early = daemon.lines();
    early.send(&[long_call("early", 0).as_bytes(), &half(290_000)].concat());
    gate.wait();
    let mut others = [daemon.lines(), daemon.lines(), daemon.lines()];
    for other in &mut others {
        other.send(&half(120_000));
    }
    let refused = early.read();
    assert_no_room(&refused["error"], "this connection has the most of them");
    gate.open();
    let answered = early.rest();
    assert_eq!(answered.len(), 1, "{answered:?}");
    assert_eq!(answered[0]["id"], "early");
    assert_eq!(answered[0]["error"]["code"], 404, "{answered:?}");
    assert_eq!(upstream.requests(), 1);
    for mut other in others {
        other.send(b"\"]");
        assert_eq!(other.read()[0]["error"]["code"], -32600);
    }
}

#[test]
fn long_calls_under_way_have_half_of_the_memory_and_short_ones_go_on() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(&upstream.base_url(), &NARROW);
    let mut first = daemon.lines();
    first.send(long_call("first", 200_000).as_bytes());
    gate.wait();

    let words = "long calls under way hold 307200 bytes, as much as they may";
    let long = long_call("second", 200_000);
    let mut lines = daemon.lines();
    lines.send(long.as_bytes());
    let refused = lines.read();
    assert_eq!(refused["id"], "second");
    assert_no_room(&refused["error"], words);
    lines.send(format!("[{long},{{\"jsonrpc\":\"2.0\",\"method\":\"health\"}}]").as_bytes());
    let refused = lines.read();
    assert_eq!(refused.as_array().unwrap().len(), 1, "{refused}");
    assert_eq!(refused[0]["id"], "second");
    assert_no_room(&refused[0]["error"], words);
    assert_no_room(&Socket::connect(&daemon).ask(&long)["error"], words);
    for path in ["/", "/messages", "/mcp"] {
        let mut client = daemon.http();
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let headers = if path == "/mcp" {
            &headers[..]
        } else {
            &headers[..1]
        };
        let answer = client.send("POST", path, headers, long.as_bytes());
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
        let body = answer.json();
        let error = if path == "/messages" {
            &body
        } else {
            &body["error"]
        };
        assert_no_room(error, words);
    }
    // What is short is not counted.
    let mut short = daemon.lines();
    short.send(long_call("short", 2000).as_bytes());
    gate.wait();
    for (lines, id) in [(&mut first, "first"), (&mut short, "short")] {
        gate.open();
        let answer = lines.read();
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"]["code"], 404, "{answer}");
    }
    // And there is room again.
    gate.open();
    assert_eq!(daemon.lines().ask(&json!([1]))[0]["error"]["code"], -32600);
    lines.send(long.as_bytes());
    assert_eq!(lines.read()["error"]["code"], 404);
    assert_eq!(upstream.requests(), 3);
}

#[test]
fn whoever_waits_between_two_requests_gives_way_to_nobody() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut waiting = [daemon.http(), Client::plain(daemon.tcp)];
    let mut ask = || {
        for client in &mut waiting {
            let answer = client.send("GET", "/health", &[], b"");
            assert_eq!(answer.status, 200);
        }
    };
    ask();
    let refusals = "discordd_refusals_total{reason=\"memory\"}";
    let mut halves: Vec<TcpStream> = Vec::new();
    // Many more than there is room for.
    while daemon
        .http()
        .figures()
        .get(refusals)
        .is_none_or(|it| *it < 100.0)
    {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(daemon.tcp).unwrap();
            // Whoever came first may have been closed by now.
            let _ = stream.write_all(b"POST / HTTP/1.1\r\n");
            halves.push(stream);
        }
    }
    ask();
}

#[test]
fn half_requests_at_a_port_cost_bounded_memory_and_leave_nothing() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__HEADER_TIMEOUT", "2s")]);
    let before = daemon.http().figures();
    let streams: Vec<TcpStream> = (0..1500)
        .map(|_| {
            let mut stream = TcpStream::connect(daemon.tcp).unwrap();
            // Whoever came first may have been closed by now.
            let _ = stream.write_all(b"POST / HTTP/1.1\r\n");
            stream
        })
        .collect();
    assert_eq!(Socket::connect(&daemon).ask(CALL)["id"], 1);
    let name = "process_resident_memory_bytes";
    let grown = daemon.http().figures()[name] - before[name];
    assert!(grown < f64::from(16 << 20), "{grown} bytes");
    let name = "process_open_fds";
    while daemon.http().figures()[name] > before[name] {
        std::thread::yield_now();
    }
    drop(streams);
}
