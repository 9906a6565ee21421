//! The sandbox's faults: what goes wrong, how often, and what became of the message.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::sandbox::SandboxProcess;

/// Posts as the first bot to `general`.
fn post(sandbox: &SandboxProcess) -> Answer {
    let body = json!({ "content": "hello" });
    sandbox.post(sandbox.token(0), "general", &body)
}

/// Sends the same, to read what comes byte by byte.
fn send_raw(sandbox: &SandboxProcess) -> TcpStream {
    let mut stream = TcpStream::connect(sandbox.line.http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let (channel, token) = (sandbox.channel("general"), sandbox.token(0));
    let body = json!({ "content": "hello" }).to_string();
    let head = format!(
        "POST /api/v10/channels/{channel}/messages HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bot {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    stream
}

/// Reads all there is up to the end of the connection, and how that came.
fn read_raw(mut stream: TcpStream) -> (String, Result<(), ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    let end = end.map(drop).map_err(|err: io::Error| err.kind());
    (String::from_utf8(bytes).unwrap(), end)
}

/// Reads the head, and gives it with the first bytes of the body.
fn read_head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "the connection ended in a head");
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return (String::from_utf8(bytes).unwrap().to_ascii_lowercase(), body);
        }
    }
}

fn content_length(head: &str) -> u64 {
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    length.unwrap().parse().unwrap()
}

#[test]
fn status_body_and_headers_are_those_asked_for() {
    let sandbox = SandboxProcess::start(&[]);
    for (act, status, kind, body) in [
        (
            json!({ "status": 503 }),
            503,
            "application/json",
            r#"{"code":0,"message":"503: Service Unavailable"}"#,
        ),
        (
            json!({ "status": 403, "body": { "code": 50001 }, "headers": { "x-a": "b" } }),
            403,
            "application/json",
            r#"{"code":50001}"#,
        ),
        (
            json!({ "status": 200, "body": "<html>" }),
            200,
            "text/html; charset=utf-8",
            "<html>",
        ),
    ] {
        sandbox.fault(&json!({ "do": act }));
        let answer = post(&sandbox);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(String::from_utf8_lossy(&answer.body), body);
        let header = act["headers"]["x-a"].as_str();
        assert_eq!(answer.header("x-a"), header);
    }
    assert_eq!(sandbox.stats().messages, 0);
    assert_eq!(post(&sandbox).status, 200);
}

#[test]
fn rate_limits_of_every_scope_speak_as_discord_does() {
    let sandbox = SandboxProcess::start(&[]);
    for (scope, is_global, has_route, header) in [
        ("user", false, true, Some("user")),
        ("shared", false, true, Some("shared")),
        ("global", true, false, Some("global")),
        ("none", false, false, None),
    ] {
        sandbox.fault(&json!({ "do": { "rate_limit": { "scope": scope, "retry_after": 1.5 } } }));
        let answer = post(&sandbox);
        assert_eq!(answer.status, 429);
        let expected = json!({
            "message": "You are being rate limited.", "retry_after": 1.5, "global": is_global,
            "code": 0,
        });
        assert_eq!(answer.json(), expected, "{scope}");
        assert_eq!(answer.header("x-ratelimit-scope"), header);
        assert_eq!(answer.header("retry-after"), header.map(|_| "2"));
        assert_eq!(
            answer.header("x-ratelimit-global"),
            is_global.then_some("true")
        );
        for (name, value) in [("remaining", "0"), ("reset-after", "1.500")] {
            let found = answer.header(&format!("x-ratelimit-{name}"));
            assert_eq!(found, has_route.then_some(value), "{scope} {name}");
        }
    }
    assert_eq!(sandbox.stats().messages, 0);
}

#[test]
fn cloudflare_answers_with_pages() {
    let sandbox = SandboxProcess::start(&[]);
    for (page, status, retry_after, text) in [
        (json!({ "retry_after": 60 }), 429, Some("60"), "Error 1015"),
        (json!({ "status": 502 }), 502, None, "Bad Gateway"),
        (json!({ "status": 503 }), 503, None, "Service Unavailable"),
    ] {
        sandbox.fault(&json!({ "do": { "cloudflare": page } }));
        let answer = post(&sandbox);
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=UTF-8")
        );
        assert_eq!(answer.header("retry-after"), retry_after);
        assert_eq!(answer.header("x-ratelimit-scope"), None);
        assert!(String::from_utf8_lossy(&answer.body).contains(text));
    }
}

#[test]
fn delay_comes_before_the_answer() {
    let sandbox = SandboxProcess::start(&[]);
    sandbox.fault(&json!({ "do": { "delay_ms": 300 } }));
    let start = Instant::now();
    assert_eq!(post(&sandbox).status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn dropped_connection_ends_without_a_byte_before_or_after_the_message() {
    let sandbox = SandboxProcess::start(&[]);
    let mut made = 0;
    for (act, makes) in [
        (json!({ "drop": "before" }), 0),
        (json!({ "drop": "after" }), 1),
        (json!({ "drop": "before", "reset": true }), 0),
        (json!({ "drop": "after", "reset": true }), 1),
    ] {
        sandbox.fault(&json!({ "do": act }));
        let end = if act["reset"] == true {
            Err(ErrorKind::ConnectionReset)
        } else {
            Ok(())
        };
        assert_eq!(read_raw(send_raw(&sandbox)), (String::new(), end), "{act}");
        made += makes;
        assert_eq!(sandbox.stats().messages, made, "{act}");
    }
}

#[test]
fn cut_body_ends_before_what_was_promised() {
    let sandbox = SandboxProcess::start(&[]);
    for (act, length) in [
        (json!({ "cut": 10 }), 10),
        (json!({ "cut": 0 }), 0),
        (json!({ "status": 500, "body": "short", "cut": 100 }), 5),
    ] {
        sandbox.fault(&json!({ "do": act }));
        let (text, end) = read_raw(send_raw(&sandbox));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!((body.len(), end), (length, Ok(())), "{act}");
        assert!(content_length(&head.to_ascii_lowercase()) > length as u64);
    }
    assert_eq!(sandbox.stats().messages, 2);
}

#[test]
fn oversize_body_is_as_long_as_asked_for_and_still_json() {
    let sandbox = SandboxProcess::start(&[]);
    sandbox.fault(&json!({ "do": { "oversize": 3_000_000 } }));
    let answer = post(&sandbox);
    assert_eq!((answer.status, answer.body.len()), (200, 3_000_000));
    assert_eq!(answer.json()["content"], "hello");
}

#[test]
fn endless_body_goes_on_until_the_reader_has_had_enough() {
    let sandbox = SandboxProcess::start(&[]);
    sandbox.fault(&json!({ "do": { "status": 500, "endless": true } }));
    let mut stream = send_raw(&sandbox);
    let (head, _) = read_head(&mut stream);
    assert!(head.starts_with("http/1.1 500") && !head.contains("content-length"));
    let read = io::copy(&mut (&stream).take(20 << 20), &mut io::sink());
    assert_eq!(read.unwrap(), 20 << 20);
}

#[test]
fn hanging_answer_waits_for_its_peer_to_go() {
    let sandbox = SandboxProcess::start(&[]);
    let short = Some(Duration::from_millis(200));
    let silent = |stream: &mut TcpStream| {
        stream.set_read_timeout(short).unwrap();
        let err = stream.read(&mut [0]).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::WouldBlock);
    };
    sandbox.fault(&json!({ "do": { "hang": "head" } }));
    let mut stream = send_raw(&sandbox);
    silent(&mut stream);
    assert_eq!(sandbox.stats().messages, 0);
    ends_when_told(stream);

    sandbox.fault(&json!({ "do": { "hang": "body" } }));
    let mut stream = send_raw(&sandbox);
    let (head, mut body) = read_head(&mut stream);
    let half = content_length(&head) / 2;
    while (body.len() as u64) < half {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        body.extend(byte);
    }
    silent(&mut stream);
    assert_eq!(sandbox.stats().messages, 1);
    ends_when_told(stream);
}

/// Ends one side of a connection, and waits until the other side is ended too.
fn ends_when_told(stream: TcpStream) {
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(read_raw(stream), (String::new(), Ok(())));
}

#[test]
fn rules_match_count_and_are_forgotten() {
    let sandbox = SandboxProcess::start(&[]);
    let random = sandbox.channel("random");
    let body = json!({ "content": "c" });
    let status = |channel: &str| sandbox.post(sandbox.token(0), channel, &body).status;
    sandbox.fault(&json!([
        { "match": { "channel_id": random }, "after": 1, "times": 2, "do": { "status": 500 } },
        { "match": { "method": "GET", "path": "/users/" }, "times": 0, "do": { "status": 502 } },
    ]));
    assert_eq!(status("general"), 200);
    let found = [0; 4].map(|_| status("random"));
    assert_eq!(found, [200, 500, 500, 200]);
    let me = || sandbox.get(sandbox.token(0), "/users/@me").status;
    assert_eq!([0; 3].map(|_| me()), [502; 3]);
    assert_eq!(sandbox.own("DELETE", "/faults", "").status, 204);
    assert_eq!(me(), 200);

    let chance = json!({ "percent": 50, "seed": 3, "do": { "status": 500 } });
    let run = || {
        sandbox.own("DELETE", "/faults", "");
        sandbox.fault(&chance);
        [0; 20].map(|_| me())
    };
    let first = run();
    assert_eq!(first, run());
    assert!(first.contains(&200) && first.contains(&500), "{first:?}");
}

#[test]
fn bad_rule_is_refused_and_says_why() {
    let sandbox = SandboxProcess::start(&[]);
    for (rule, why) in [
        (json!({}), "missing field `do`"),
        (json!({ "do": {} }), "nothing to do"),
        (
            json!({ "do": { "drop": "never" } }),
            "unknown variant `never`",
        ),
        (json!({ "do": { "stauts": 500 } }), "unknown field `stauts`"),
        (json!({ "do": { "status": 99 } }), "status: from 200 to 599"),
        (
            json!({ "do": { "cut": 1, "hang": "head" } }),
            "one of drop, cut",
        ),
        (
            json!({ "do": { "status": 500, "cloudflare": {} } }),
            "one of status",
        ),
        (
            json!({ "do": { "oversize": 1_u64 << 40 } }),
            "oversize: at most",
        ),
        (
            json!({ "do": { "reset": true, "delay_ms": 1 } }),
            "reset: only with drop",
        ),
        (
            json!({ "do": { "headers": { "content-length": "1" } } }),
            "headers: not",
        ),
        (
            json!({ "percent": 101, "do": { "status": 500 } }),
            "percent: at most 100",
        ),
        (
            json!(vec![json!({ "do": { "status": 500 } }); 101]),
            "at most 100 rules",
        ),
    ] {
        let answer = sandbox.own("POST", "/faults", &rule.to_string());
        assert_eq!(answer.status, 400, "{rule}");
        let message = answer.json()["message"].to_string();
        assert!(message.contains(why), "{rule}: {message}");
    }
    assert_eq!(post(&sandbox).status, 200);
}

#[test]
fn requests_are_noted_with_their_faults_and_without_secrets() {
    let sandbox = SandboxProcess::start(&[]);
    sandbox.fault(&json!({ "do": { "drop": "before" } }));
    assert_eq!(read_raw(send_raw(&sandbox)).0, "");
    post(&sandbox);
    sandbox.get(
        sandbox.token(0),
        &format!("/webhooks/1/{}", sandbox.token(0)),
    );
    let path = format!("/channels/{}/messages", sandbox.channel("general"));
    let mut requests = sandbox.requests(0);
    for request in &mut requests {
        assert!(request["at_ms"].take().as_u64().unwrap() > 1_700_000_000_000);
    }
    let note = |number: u64, method: &str, path: &str, status: Value, fault: bool| {
        json!({ "number": number, "method": method, "path": path, "status": status,
            "fault": fault, "at_ms": null })
    };
    let expected = [
        note(1, "POST", &path, Value::Null, true),
        note(2, "POST", &path, json!(200), false),
        note(3, "GET", "/webhooks/1/*", json!(404), false),
    ];
    assert_eq!(requests, expected);
    assert_eq!(sandbox.requests(2).len(), 1);
    let stats = sandbox.own("GET", "/stats", "").json();
    let expected = json!({
        "connections": 3, "requests": 3, "messages": 1, "faults": 1,
        "routes": { "GET /webhooks/{id}/*": 1, "POST /channels/{id}/messages": 2 },
        "statuses": { "200": 1, "404": 1 },
    });
    assert_eq!(stats, expected);
}

#[test]
fn faults_work_through_tls_too() {
    let file = std::env::temp_dir().join(format!("discordd-faults-{}.pem", std::process::id()));
    let sandbox =
        SandboxProcess::start(&["--tls", "127.0.0.1:0", "--ca-file", file.to_str().unwrap()]);
    let authority = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    sandbox.fault(&json!({ "do": { "oversize": 100_000 } }));
    let (mut client, _) = Client::tls(sandbox.line.tls.unwrap(), &authority, &["http/1.1"]);
    let authorization = format!("Bot {}", sandbox.token(0));
    let headers = [("authorization", authorization.as_str())];
    let answer = client.send("GET", "/api/v10/users/@me", &headers, b"");
    assert_eq!((answer.status, answer.body.len()), (200, 100_000));
}
