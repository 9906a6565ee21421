//! The limits: whoever is over one is told so, and the others are served.

use std::{
    collections::VecDeque,
    io::Write as _,
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, run},
    http::Client,
    lines::Lines,
    sandbox::SandboxProcess,
    upstream::{Gate, Upstream},
    websocket::Socket,
};

/// Nobody is asked anything in these tests.
const NOWHERE: &str = "http://127.0.0.1:9";
const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;
const JSON: (&str, &str) = ("content-type", "application/json");

fn send(id: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "discord.sendMessage",
        "params": ["t", "1", "x"]})
}

/// Holds that an error says that there is no place, and when to come again.
fn assert_no_place(error: &Value, words: &str) {
    assert_eq!(error["code"], 503, "{error}");
    assert_eq!(error["data"]["kind"], "unavailable", "{error}");
    assert_eq!(error["data"]["retryable"], true, "{error}");
    assert_eq!(error["data"]["delivered"], "no", "{error}");
    assert_eq!(error["data"]["retry_after_ms"], 1000, "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{error}");
}

/// Waits until another connection gets a place.
fn wait_for_place(connect: impl Fn() -> Lines) {
    while connect().ask(&send(1))["error"]["message"]
        .as_str()
        .unwrap()
        .contains("this one is closed")
    {}
}

#[test]
fn a_connection_over_the_limit_is_told_so_in_its_own_framing_and_closed() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__CONNECTIONS", "2")]);
    let mut open = [daemon.lines(), Lines::tcp(daemon.tcp)];
    for lines in &mut open {
        lines.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "health"}));
    }
    let words = "the daemon has 2 connections";

    // A call is answered under its id, and the connection closed behind it.
    for mut lines in [daemon.lines(), Lines::tcp(daemon.tcp)] {
        lines.send(send("mine").to_string().as_bytes());
        let answers = lines.rest();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0]["id"], "mine");
        assert_no_place(&answers[0]["error"], words);
    }
    // One that says nothing is closed too, well before it would be otherwise.
    assert_eq!(daemon.lines().rest(), [Value::Null; 0]);

    let call = send(7).to_string();
    for mut client in [daemon.http(), Client::plain(daemon.tcp)] {
        let answer = client.send("POST", "/", &[JSON], call.as_bytes());
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.json()["id"], 7);
        assert_no_place(&answer.json()["error"], words);
    }
    let body = json!({"discord_token": "t", "channel_id": "1", "content": "x"}).to_string();
    let mut client = daemon.http();
    let answer = client.send("POST", "/messages", &[JSON], body.as_bytes());
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = daemon.http().send("GET", "/", &handshake, b"");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_no_place(&answer.json()["error"], words);

    // How the daemon is can still be asked.
    assert_eq!(
        daemon.call("health", &json!({}))["result"]["status"],
        "healthy"
    );
    for path in ["/health", "/livez", "/readyz", "/metrics"] {
        let answer = daemon.http().send("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}");
    }
    let socket = daemon.socket.to_str().unwrap();
    assert_eq!(
        run(&["health", "--socket", socket], &[]).status.code(),
        Some(0)
    );
    drop(open);
    wait_for_place(|| daemon.lines());
}

#[test]
fn a_peer_leaves_places_to_the_others() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__CONNECTIONS_PER_PEER", "2")]);
    let _open = [Lines::tcp(daemon.tcp), Lines::tcp(daemon.tcp)];
    let mut third = Lines::tcp(daemon.tcp);
    let refused = third.ask(&send(3));
    assert_no_place(&refused["error"], "this peer has 2 connections");
    let other = daemon.lines().ask(&send(4));
    let message = other["error"]["message"].as_str().unwrap();
    assert!(message.contains("no connection"), "{other}");
}

#[test]
fn a_websocket_takes_a_place_until_it_is_closed() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__CONNECTIONS", "1")]);
    let mut socket = Socket::connect(&daemon);
    socket.ask(HEALTH);
    assert_no_place(
        &daemon.lines().ask(&send(1))["error"],
        "the daemon has 1 connections",
    );
    socket.ask(HEALTH);
    assert_eq!(socket.close(), Vec::<String>::new());
    wait_for_place(|| daemon.lines());
}

/// Lets through all that waits.
fn open(gate: &Gate, count: usize) {
    for _ in 0..count {
        gate.open();
    }
}

#[test]
fn a_peer_leaves_calls_to_the_others() {
    let (upstream, gate) = Upstream::gated();
    let limits = [
        ("DISCORDD_LIMITS__CALLS", "3"),
        ("DISCORDD_LIMITS__CALLS_PER_PEER", "2"),
    ];
    let daemon = Daemon::start(&upstream.base_url(), &limits);
    let mut one = Lines::tcp(daemon.tcp);
    for id in [1, 2] {
        one.send(send(id).to_string().as_bytes());
        gate.wait();
    }
    let refused = one.ask(&send(3));
    assert_eq!(refused["id"], 3);
    assert_no_place(&refused["error"], "this peer has 2 calls under way");
    let body = json!({"discord_token": "t", "channel_id": "1", "content": "x"}).to_string();
    let mut client = Client::plain(daemon.tcp);
    let answer = client.send("POST", "/messages", &[JSON], body.as_bytes());
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let mut other = daemon.lines();
    other.send(send(4).to_string().as_bytes());
    gate.wait();
    let refused = daemon.lines().ask(&send(5));
    assert_no_place(&refused["error"], "the daemon has 3 calls under way");
    open(&gate, 3);
    assert_eq!(other.read()["error"]["code"], 404);
    for _ in 0..2 {
        assert_eq!(one.read()["error"]["code"], 404);
    }
    // Their places are free again.
    one.send(send(6).to_string().as_bytes());
    gate.wait();
    open(&gate, 1);
    assert_eq!(one.read()["error"]["code"], 404);
    let refused = |why: &str| {
        daemon.http().figures()[&format!("discordd_refusals_total{{reason=\"{why}\"}}")]
    };
    assert_eq!((refused("peer_busy"), refused("busy")), (2.0, 1.0));
}

#[test]
fn calls_that_wait_out_a_rate_limit_leave_room_for_those_of_others() {
    let sandbox = SandboxProcess::start(&["--any-token"]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let (limited, free) = (sandbox.channel("general"), sandbox.channel("random"));
    sandbox.fault(&json!({"match": {"channel_id": limited}, "times": 0,
        "do": {"rate_limit": {"scope": "shared", "retry_after": 25}}}));
    let call = |id: usize, channel: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "discord.sendMessage",
            "params": [sandbox.token(0), channel, "x"]})
    };
    // More calls than there may be, all of one peer.
    let mut flood: Vec<Lines> = (0..10).map(|_| Lines::tcp(daemon.tcp)).collect();
    for lines in &mut flood {
        for id in 0..64 {
            lines.send(call(id, limited).to_string().as_bytes());
        }
    }
    while daemon.http().figures()["discordd_calls_in_flight"] < 384.0 {
        thread::yield_now();
    }
    let mut honest = daemon.lines();
    for id in 0..50 {
        let answer = honest.ask(&call(id, free));
        assert_eq!(answer["result"]["success"], true, "{answer}");
    }
    assert!(daemon.http().figures()["discordd_calls_in_flight"] >= 384.0);
    let refused = flood[9].read();
    assert_no_place(&refused["error"], "this peer has 384 calls under way");
}

/// Connects to the exit's port again and again, says `words`, and holds as many connections as
/// strangers can have and more.
fn besiege_exit(port: u16, words: &[u8], made: &AtomicUsize, over: &AtomicBool) {
    let mut held = VecDeque::new();
    while !over.load(Ordering::Relaxed) {
        // It may be closed at once.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            let _ = stream.write_all(words);
            held.push_back(stream);
            made.fetch_add(1, Ordering::Relaxed);
        }
        if held.len() > 1500 {
            held.pop_front();
        }
    }
}

#[test]
fn strangers_at_the_exits_port_keep_no_call_out_and_cost_bounded_memory() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let daemon = Daemon::start(&base_url, &[("RUST_LOG", "discordd=debug")]);
    let port = daemon.logged("port")[0].as_u64().unwrap();
    let port = u16::try_from(port).unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
        "params": [sandbox.token(0), sandbox.channel("general"), "x"]});
    let mut honest = daemon.lines();
    honest.ask(&call);
    let before = daemon.http().figures();
    let (made, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for words in [
            &b""[..],
            b"POST / HTTP/1.1\r\nauthorization: Bot 0000000000000000",
        ] {
            scope.spawn(|| besiege_exit(port, words, &made, &over));
        }
        let mut calls = 0;
        while calls < 100 || made.load(Ordering::Relaxed) < 10_000 {
            let answer = honest.ask(&call);
            assert_eq!(answer["result"]["success"], true, "{answer}");
            calls += 1;
        }
        let resident = "process_resident_memory_bytes";
        let grown = daemon.http().figures()[resident] - before[resident];
        assert!(grown < f64::from(16 << 20), "{grown} bytes");
        over.store(true, Ordering::Relaxed);
    });
    while daemon.http().figures()["process_open_fds"] > before["process_open_fds"] {
        thread::yield_now();
    }
}

#[test]
fn who_comes_when_descriptors_are_exhausted_is_served_when_there_are_some() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let health = json!({"jsonrpc": "2.0", "id": 1, "method": "health"});
    let mut open = daemon.lines();
    open.ask(&health);
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let limit = |count: u64| {
        let (current, maximum) = (Some(count), getrlimit(Resource::Nofile).maximum);
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    };
    // None is left, whichever is the highest.
    limit(0);
    let mut waiting: Vec<Lines> = (0..10).map(|_| daemon.lines()).collect();
    waiting.extend((0..10).map(|_| Lines::tcp(daemon.tcp)));
    for lines in &mut waiting {
        lines.send(health.to_string().as_bytes());
    }
    daemon.wait_for_logs("cannot accept connections", 2);
    // Who was there before is served all the while.
    assert_eq!(open.ask(&health)["result"]["status"], "healthy");
    limit(1000);
    for mut lines in waiting {
        assert_eq!(lines.read()["result"]["status"], "healthy");
    }
}

#[test]
fn whoever_does_not_read_an_answer_is_given_up_in_time() {
    let limits = [("DISCORDD_LIMITS__WRITE_TIMEOUT", "200ms")];
    let daemon = Daemon::start(NOWHERE, &limits);
    let call = json!({"jsonrpc": "2.0", "id": "x".repeat(900_000), "method": "health"});
    let call = call.to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        call.len()
    );
    let unread = "discordd_refusals_total{reason=\"unread\"}";
    let given_up = |count| {
        while daemon.http().figures()[unread] < count {
            thread::yield_now();
        }
    };
    let send = |text: &str| {
        let mut stream = UnixStream::connect(&daemon.socket).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let _lines = send(&call);
    given_up(1.0);
    let _http = send(&(head + &call));
    given_up(2.0);
    let mut socket = Socket::connect(&daemon);
    socket.send(&call);
    given_up(3.0);
}

#[test]
fn how_deep_a_text_is_may_be_set() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__DEPTH", "3")]);
    let call =
        |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"health","params":{params}}}"#);
    let (deep, allowed) = (call("[[[1]]]"), call("[[1]]"));
    for (text, code) in [(deep, -32700), (allowed, -32602)] {
        let lines = daemon.lines().exchange(text.as_bytes());
        assert_eq!(lines[0]["error"]["code"], code, "{lines:?}");
        let http = daemon.http().send("POST", "/", &[JSON], text.as_bytes());
        assert_eq!(http.status, 200);
        assert_eq!(http.json()["error"]["code"], code);
        let socket = Socket::connect(&daemon).ask(&text);
        assert_eq!(socket["error"]["code"], code, "{socket}");
    }
    let body = r#"{"a":[[[1]]]}"#.as_bytes();
    assert_eq!(
        daemon.http().send("POST", "/test", &[JSON], body).status,
        400
    );
}
