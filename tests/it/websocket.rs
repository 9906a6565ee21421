//! WebSocket: what it takes beside JSON-RPC, and how it ends.

use std::io::{Read as _, Write as _};

use serde_json::json;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{
    daemon::Daemon,
    upstream::{Upstream, http},
    websocket::Socket,
};

const NOWHERE: &str = "http://127.0.0.1:9";
const HEALTH: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;

#[test]
fn calls_under_way_are_answered_after_the_caller_says_close() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let mut socket = Socket::connect(&daemon);
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "discord.sendMessage",
        "params": ["t", 1, "x"]});
    socket.send(&call.to_string());
    gate.wait();
    // Masked with zeros: a Close, without tungstenite's client noting that it said so.
    socket
        .stream()
        .write_all(&[0x88, 0x80, 0, 0, 0, 0])
        .unwrap();
    for _ in 0..20 {
        daemon.call("health", &json!({}));
    }
    gate.open();
    let answer = socket.read().unwrap();
    assert!(answer.contains(r#""id":7,"error":{"code":404"#), "{answer}");
    assert_eq!(socket.read(), Err(Some(CloseCode::Normal)));
}

#[test]
fn a_close_is_answered_by_a_close() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut socket = Socket::connect(&daemon);
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(HEALTH).unwrap()["id"],
        socket.ask(HEALTH)["id"]
    );
    assert_eq!(socket.close(), Vec::<String>::new());
}

#[test]
fn a_message_that_is_too_large_is_not_waited_for() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for announced in [
        // A gibibyte, and one byte more than the limit.
        &[0x81, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4][..],
        &[0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 1, 2, 3, 4],
    ] {
        let mut socket = Socket::connect(&daemon);
        socket.stream().write_all(announced).unwrap();
        assert_eq!(socket.read(), Err(Some(CloseCode::Size)));
    }
    assert_eq!(Socket::connect(&daemon).ask(HEALTH)["id"], 1);
}

#[test]
fn what_the_protocol_forbids_ends_the_connection() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut socket = Socket::connect(&daemon);
    // Not masked.
    socket.stream().write_all(b"\x81\x02{}").unwrap();
    assert_eq!(socket.read(), Err(Some(CloseCode::Protocol)));
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let upgrade = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
    ];
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let version = ("sec-websocket-version", "13");
    for (headers, status) in [
        (vec![key, version], 405),
        (vec![upgrade[0], upgrade[1], key], 426),
        (vec![upgrade[0], upgrade[1], version], 400),
        (
            vec![
                upgrade[0],
                upgrade[1],
                key,
                version,
                ("origin", "http://example.org"),
            ],
            403,
        ),
        (vec![upgrade[0], upgrade[1], key, version], 101),
    ] {
        let answer = daemon.http().send("GET", "/", &headers, b"");
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 101 {
            // The example of RFC 6455.
            let accept = answer.header("sec-websocket-accept");
            assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        }
    }
}

#[test]
fn the_header_of_the_handshake_may_carry_the_token() {
    let upstream = Upstream::start(|request, stream| {
        let named = request.contains("authorization: Bot of-the-header\r\n");
        let status = if named {
            "404 Not Found"
        } else {
            "401 Unauthorized"
        };
        let _ = stream.write_all(http(status, "", "{}").as_bytes());
    });
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let mut stream = std::os::unix::net::UnixStream::connect(&daemon.socket).unwrap();
    let handshake = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        authorization: Bot of-the-header\r\n\r\n";
    stream.write_all(handshake.as_bytes()).unwrap();
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{"channel_id":1,"content":"x"}}"#;
    let length = u8::try_from(call.len()).unwrap();
    assert!(length < 126);
    stream
        .write_all(&[0x81, 0x80 | length, 0, 0, 0, 0])
        .unwrap();
    stream.write_all(call.as_bytes()).unwrap();
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains(r#""code":404"#), "{all}");
}

#[test]
fn a_websocket_is_told_when_the_daemon_stops() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut socket = Socket::connect(&daemon);
    socket.ask(HEALTH);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(socket.read(), Err(Some(CloseCode::Away)));
    drop(socket);
    assert_eq!(daemon.wait().0.code(), Some(0));
}

#[test]
fn pings_give_an_unfinished_message_no_more_time() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__BODY_TIMEOUT", "300ms")]);
    let mut socket = Socket::connect(&daemon);
    // The beginning of a message, and then pings for as long as the daemon answers them.
    let stream = socket.stream();
    stream.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'{']).unwrap();
    let begun = std::time::Instant::now();
    let mut answered = [0x8a, 0];
    while answered == [0x8a, 0] {
        assert!(begun.elapsed().as_secs() < 20, "it is still open");
        stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).unwrap();
        stream.read_exact(&mut answered).unwrap();
    }
    // What is no pong is the parse error, in a text.
    assert_eq!(answered[0], 0x81);
}
