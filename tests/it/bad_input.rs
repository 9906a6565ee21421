//! Bad input: each gets its error or a closed connection, within the limits' memory, and the next
//! call works.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::{
    corpus::checks::connection,
    support::{daemon::Daemon, http::Client, mcp::post, websocket::Socket},
};

const NOWHERE: &str = "http://127.0.0.1:9";
const HEALTH: &str = r#"{"jsonrpc":"2.0","id":"next","method":"health"}"#;
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// How much more memory the process may hold for one bad client, in KiB.
const ROOM_KIB: u64 = 16 << 10;

/// Sends a text in every framing; gives what each answered.
fn everywhere(daemon: &Daemon, text: &[u8]) -> Vec<(&'static str, Value)> {
    let lines = daemon.lines().exchange(text).swap_remove(0);
    let http = daemon.http().send("POST", "/", &JSON, text);
    assert_eq!(http.status, 200);
    let mut answers = vec![("lines", lines), ("HTTP", http.json())];
    if let Ok(text) = std::str::from_utf8(text) {
        answers.push(("WebSocket", Socket::connect(daemon).ask(text)));
    }
    let next = daemon.lines().exchange(HEALTH.as_bytes());
    assert_eq!(next[0]["id"], "next");
    answers
}

#[test]
fn deep_nesting_is_refused_on_every_framing() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let deep = |open: &str, close: &str| {
        let params = format!(
            r#"{{"discord_token":"t","channel_id":1,"components":[{}1{}]}}"#,
            open.repeat(10_000),
            close.repeat(10_000)
        );
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{params}}}"#)
    };
    for text in [deep("[", "]"), deep(r#"{"a":"#, "}"), "[".repeat(10_000)] {
        for (framing, answer) in everywhere(&daemon, text.as_bytes()) {
            let code = answer["error"]["code"].as_i64().unwrap();
            assert!([-32700, -32602].contains(&code), "{framing}: {answer}");
        }
    }
}

/// JSON in a text in JSON in a text, each as deep as JSON may be: `serde_json` reads an object of this
/// one name as the JSON in its text.
fn json_in_texts() -> String {
    let (open, close) = ("[".repeat(118), "]".repeat(118));
    (0..15).fold("[]".to_owned(), |inner, _| {
        let text = serde_json::to_string(&inner).unwrap();
        format!(r#"{open}{{"$serde_json::private::RawValue":{text}}}{close}"#)
    })
}

#[test]
fn depth_that_is_hidden_in_texts_ends_nothing() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let hidden = json_in_texts();
    let params = format!(r#"{{"channel_id":1,"components":[{{"a":{hidden}}}]}}"#);
    let text =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{params}}}"#);
    for (framing, answer) in everywhere(&daemon, text.as_bytes()) {
        let path = &answer["error"]["data"]["path"];
        assert_eq!(path, "discord_token", "{framing}: {answer}");
    }
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"send_message","arguments":{params}}}}}"#
    );
    let answer = post(&mut daemon.http(), "/mcp", &[], call.as_bytes());
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["code"], -32600);
}

#[test]
fn what_is_no_utf_8_or_has_control_characters_is_no_json() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for text in [
        &b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\0b\"}",
        b"{\0}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"",
    ] {
        for (framing, answer) in everywhere(&daemon, text) {
            assert_eq!(answer["error"]["code"], -32700, "{framing}: {answer}");
        }
    }
}

#[test]
fn ids_out_of_range_are_refused_by_name() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for id in [
        "18446744073709551616",
        "-1",
        "1.5",
        "\"99999999999999999999\"",
        "[]",
        "true",
    ] {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{{"discord_token":"t","channel_id":{id},"content":"x"}}}}"#
        );
        for (framing, answer) in everywhere(&daemon, text.as_bytes()) {
            assert_eq!(answer["error"]["code"], -32602, "{framing}: {answer}");
            assert_eq!(
                answer["error"]["data"]["path"], "channel_id",
                "{framing}: {answer}"
            );
        }
    }
}

#[test]
fn a_hundred_mebibytes_without_a_newline_are_not_kept() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let before = daemon.resident_kib();
    let block = vec![b'x'; 1 << 20];
    let mut lines = daemon.lines();
    lines.send(b"[\"");
    for _ in 0..100 {
        lines.send(&block);
    }
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < ROOM_KIB, "{grown} KiB");
    lines.send(b"\n");
    assert_eq!(lines.read()["error"]["code"], -32700);
    lines.send(HEALTH.as_bytes());
    assert_eq!(lines.read()["id"], "next");
}

#[test]
fn a_body_that_is_announced_too_large_is_not_read() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let before = daemon.resident_kib();
    let mut client = Client::plain(daemon.tcp);
    client.begin("POST", "/", &JSON, 100 << 20);
    let answer = client.finish(b"");
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"]["code"], -32600);
    // Just longer than what would be read and thrown away, and some of it comes with the head.
    let length = (16 << 20) + 10;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    let answer = Client::plain(daemon.tcp).finish(&[head.as_bytes(), &[b'x'; 100]].concat());
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header("connection"), Some("close"));
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < ROOM_KIB, "{grown} KiB");
}

#[test]
fn a_request_behind_a_json_text_is_not_taken_for_one() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut call: Value = serde_json::from_str(HEALTH).unwrap();
    call["id"] = json!("smuggled");
    let body = call.to_string();
    let input = format!(
        "{HEALTH}POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answers = daemon.lines().exchange(input.as_bytes());
    let broken = answers
        .iter()
        .filter(|answer| answer["error"]["code"] == -32700);
    assert_eq!(broken.count(), 4, "{answers:?}");
    // What looks like a body is a text like any other, and nothing was spoken in HTTP.
    assert_eq!(answers.len(), 6, "{answers:?}");
}

#[test]
fn a_head_without_an_end_is_refused() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let before = daemon.resident_kib();
    let mut stream = std::net::TcpStream::connect(daemon.tcp).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nx: ").unwrap();
    // The daemon may close before all of it is written.
    let block = vec![b'x'; 1 << 16];
    while stream.write_all(&block).is_ok() {}
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < ROOM_KIB, "{grown} KiB");
    assert_eq!(daemon.lines().exchange(HEALTH.as_bytes()).len(), 1);
}

#[test]
fn a_number_that_is_too_large_for_anything_is_json_and_no_call() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut http = daemon.http();
    for (text, code) in [("1e400", -32600), ("[1e400]", -32600), ("1e", -32700)] {
        let answer = http.send("POST", "/", &JSON, text.as_bytes()).json();
        let answer = answer.get(0).unwrap_or(&answer);
        assert_eq!(answer["error"]["code"], code, "{text}: {answer}");
    }
}

/// What is no request, behind a body that nobody has read: hyper's answer to it once came between the
/// head and the body of the answer before, if that had to wait for its peer.
#[test]
fn an_answer_is_whole_before_what_follows_an_unread_body_is_answered() {
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n";
    let expecting = format!("{head}expect: 100-continue\r\ncontent-length: 1\r\n\r\nx\0\r\n\r\n");
    let long = format!("{head}content-length: 300\r\n\r\n{:300}\0\r\n\r\n", "");
    for text in [expecting, long] {
        for plan in [5, 31, 64] {
            connection::check(&[&[plan], text.as_bytes()].concat());
        }
    }
}

#[test]
fn a_connection_ends_behind_a_body_that_nobody_has_read_and_the_answer_says_so() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let expects = ("expect", "100-continue");
    let plain = ("content-type", "text/plain");
    for (path, status) in [("/", 415), ("/messages", 415), ("/mcp", 415), ("/no", 404)] {
        let mut http = daemon.http();
        http.begin("POST", path, &[plain, expects], 1);
        let answer = http.finish(b"");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("connection"), Some("close"), "{path}");
    }
    let mut http = daemon.http();
    for _ in 0..2 {
        let answer = http.send("POST", "/", &JSON, HEALTH.as_bytes());
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
}
