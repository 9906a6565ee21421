//! The far side: every way one request can fail is one error with a true `delivered`.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    upstream::{Upstream, http},
};

/// Made up, and long enough to be taken out of what Discord says.
const TOKEN: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB";

fn send(daemon: &Daemon, timeout_ms: u32) -> Value {
    let params = json!({"discord_token": TOKEN, "channel_id": "5", "content": "hello",
        "nonce": "n1", "timeout_ms": timeout_ms});
    daemon.call("discord.sendMessage", &params)
}

/// Holds what one message through `upstream` comes back as, and that it was asked once.
fn check(about: &str, upstream: &Upstream, timeout_ms: u32, expected: &Value) {
    let once = [("DISCORDD_DISCORD__ATTEMPTS", "1")];
    let daemon = Daemon::start(&upstream.base_url(), &once);
    let answer = send(&daemon, timeout_ms);
    let error = &answer["error"];
    for (name, expected) in expected.as_object().unwrap() {
        let found = match name.as_str() {
            "code" => &error["code"],
            _ => &error["data"][name],
        };
        assert_eq!(found, expected, "{name} of {about}: {answer}");
    }
    assert!(!answer.to_string().contains(TOKEN), "{about}");
    assert_eq!(upstream.requests(), 1, "{about}");
    assert_eq!(upstream.connections(), 1, "{about}");
}

fn answered(status: &str, headers: &str, body: &str, expected: &Value) {
    let upstream = Upstream::answering(http(status, headers, body));
    check(&format!("{status} {body:.40}"), &upstream, 20_000, expected);
}

#[test]
fn a_status_of_the_400s_is_told_and_nothing_was_delivered() {
    let no = json!({"code": 400, "kind": "rejected", "delivered": "no", "http_status": 405});
    answered("405 Method Not Allowed", "", "<html></html>", &no);
    let no = json!({"code": 413, "kind": "too_large", "delivered": "no", "discord_code": 40005});
    let body = r#"{"code":40005,"message":"Request entity too large"}"#;
    answered("413 Payload Too Large", "", body, &no);
    let body = format!(r#"{{"code":1,"message":"what is {TOKEN} for?"}}"#);
    let no = json!({"code": 400, "discord_message": "what is [withheld] for?"});
    answered("400 Bad Request", "", &body, &no);
}

#[test]
fn a_status_of_the_500s_is_told_and_delivery_is_not_known() {
    let unknown = |status: u16| {
        json!({"code": 503, "kind": "unavailable", "delivered": "unknown", "nonce": "n1",
            "retryable": true, "http_status": status})
    };
    answered(
        "500 Internal Server Error",
        "",
        r#"{"code":0,"message":"oops"}"#,
        &unknown(500),
    );
    answered(
        "502 Bad Gateway",
        "",
        "<html>cloudflare</html>",
        &unknown(502),
    );
    answered("503 Service Unavailable", "", "", &unknown(503));
}

#[test]
fn a_408_does_not_tell_whether_the_request_was_passed_on() {
    let unknown = json!({"code": 503, "kind": "unavailable", "delivered": "unknown",
        "http_status": 408, "retryable": true});
    answered("408 Request Timeout", "", "", &unknown);
}

#[test]
fn a_token_that_comes_back_is_withheld_whatever_it_looks_like() {
    let token = "a-made-up/token";
    let body = format!(r#"{{"code":1,"message":"no: {token}"}}"#);
    let upstream = Upstream::answering(http("400 Bad Request", "", &body));
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let answer = daemon.call("discord.sendMessage", &json!([token, 1, "x"]));
    assert_eq!(
        answer["error"]["message"],
        "Discord refused: no: [withheld]"
    );
    assert!(!answer.to_string().contains(token));
}

#[test]
fn without_a_descriptor_for_the_way_out_nothing_was_delivered() {
    let upstream = Upstream::answering(http("404 Not Found", "", "{}"));
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let mut lines = daemon.lines();
    lines.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "health"}));
    // Kept open: it is counted too.
    let mut http = daemon.http();
    let open = http.figures()["process_open_fds"];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a small count"
    )]
    let limit = rustix::process::Rlimit {
        current: Some(open as u64),
        maximum: Some(open as u64),
    };
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "discord.sendMessage",
        "params": {"discord_token": TOKEN, "channel_id": 1, "content": "x", "timeout_ms": 500}});
    let error = &lines.ask(&call)["error"];
    // Either end of the way to the exit may be the one that gets no descriptor.
    assert!(
        [503, 504].contains(&error["code"].as_i64().unwrap()),
        "{error}"
    );
    assert_eq!(error["data"]["delivered"], "no", "{error}");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_429_of_every_kind_is_told_after_one_request() {
    let limited = |scope: &str, wait: Value| {
        json!({"code": 429, "kind": "rate_limited", "delivered": "no", "retryable": true,
            "scope": scope, "retry_after_ms": wait})
    };
    let json = |wait: f32, global: bool| {
        format!(r#"{{"message":"limited","retry_after":{wait},"global":{global}}}"#)
    };
    let scope = |scope: &str| format!("x-ratelimit-scope: {scope}\r\nretry-after: 3\r\n");
    let status = "429 Too Many Requests";
    answered(
        status,
        &scope("user"),
        &json(2.5, false),
        &limited("user", json!(2500)),
    );
    answered(
        status,
        &scope("shared"),
        &json(2.5, false),
        &limited("shared", json!(2500)),
    );
    answered(
        status,
        &scope("global"),
        &json(0.25, true),
        &limited("global", json!(250)),
    );
    answered(
        status,
        "",
        &json(0.25, true),
        &limited("global", json!(250)),
    );
    answered(status, "", &json(0.25, false), &limited("user", json!(250)));
    let page = "<html>error code: 1015</html>";
    answered(
        status,
        "retry-after: 60\r\n",
        page,
        &limited("cloudflare", json!(60_000)),
    );
    answered(status, "", page, &limited("cloudflare", json!(60_000)));
    answered(
        status,
        "",
        r#"{"message":"limited"}"#,
        &limited("user", Value::Null),
    );
}

#[test]
fn an_answer_that_is_not_discords_is_told_and_a_200_was_delivered() {
    let bad = |delivered: &str, status: u16| json!({"code": 502, "kind": "bad_answer", "delivered": delivered, "http_status": status});
    answered("200 OK", "", "<html>welcome</html>", &bad("yes", 200));
    answered("200 OK", "", r#"{"id":"1"}"#, &bad("yes", 200));
    answered(
        "302 Found",
        "location: http://127.0.0.1:1/\r\n",
        "",
        &bad("no", 302),
    );
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":";
    check(
        "a cut body",
        &Upstream::answering(cut),
        20_000,
        &bad("yes", 200),
    );
    let endless = Upstream::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    check("an endless body", &endless, 20_000, &bad("yes", 200));
}

#[test]
fn of_a_refusal_only_the_beginning_is_read() {
    let endless = Upstream::start(|_, stream| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap();
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    let no = json!({"code": 403, "kind": "forbidden", "delivered": "no"});
    check("an endless refusal", &endless, 20_000, &no);
}

#[test]
fn a_connection_that_is_lost_behind_the_request_leaves_delivery_unknown() {
    let unknown =
        json!({"code": 503, "kind": "unavailable", "delivered": "unknown", "nonce": "n1"});
    let closed = Upstream::start(|_, stream| stream.shutdown(Shutdown::Both).unwrap());
    check("a closed connection", &closed, 20_000, &unknown);
    let garbage = Upstream::answering("SSH-2.0-OpenSSH_9\r\n");
    check("another protocol", &garbage, 20_000, &unknown);
}

#[test]
fn an_upstream_that_hangs_ends_at_the_deadline() {
    let hang = |stream: &mut TcpStream| {
        // Until the daemon closes.
        let _ = stream.read(&mut [0]);
    };
    let head = Upstream::start(move |_, stream| hang(stream));
    let timed_out = |delivered: &str| json!({"code": 504, "kind": "timed_out", "delivered": delivered, "retryable": true});
    check("a hung head", &head, 300, &timed_out("unknown"));
    let body = Upstream::start(move |_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")
            .unwrap();
        hang(stream);
    });
    let posted = json!({"code": 504, "kind": "timed_out", "delivered": "yes", "retryable": false,
        "nonce": "n1"});
    check("a hung body", &body, 300, &posted);
}

#[test]
fn where_nobody_listens_nothing_was_delivered() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let daemon = Daemon::start(&format!("http://{address}"), &[]);
    let error = &send(&daemon, 20_000)["error"];
    assert_eq!(
        (&error["code"], &error["data"]["delivered"]),
        (&json!(503), &json!("no"))
    );
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("no connection: Connection refused"),
        "{message}"
    );
}

#[test]
fn a_name_that_is_not_known_is_told() {
    let daemon = Daemon::start("http://discord.invalid", &[]);
    let error = &send(&daemon, 20_000)["error"];
    assert_eq!(
        (&error["code"], &error["data"]["delivered"]),
        (&json!(503), &json!("no"))
    );
}

#[test]
fn the_request_is_discords_and_carries_the_token_once() {
    let (sender, requests) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let upstream = Upstream::start(move |request, stream| {
        sender.lock().unwrap().send(request.to_owned()).unwrap();
        let _ = stream.write_all(http("403 Forbidden", "", "{}").as_bytes());
    });
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    send(&daemon, 20_000);
    let request = requests.recv().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /api/v10/channels/5/messages HTTP/1.1\r\n"),
        "{head}"
    );
    let authority = upstream.address.to_string();
    for (name, value) in [
        ("authorization", format!("Bot {TOKEN}")),
        ("host", authority),
        ("content-type", "application/json".to_owned()),
        (
            "user-agent",
            format!(
                "DiscordBot (https://crates.io/crates/discordd, {})",
                env!("CARGO_PKG_VERSION")
            ),
        ),
    ] {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(header, _)| header.eq_ignore_ascii_case(name));
        assert_eq!(
            found.map(|(_, value)| value),
            Some(value.as_str()),
            "{name}"
        );
    }
    let body: Value = serde_json::from_str(body).unwrap();
    let expected = json!({"content": "hello", "nonce": "n1", "enforce_nonce": true,
        "allowed_mentions": {"parse": [], "replied_user": false}});
    assert_eq!(body, expected);
}

#[test]
fn whoever_has_no_key_gets_nothing_from_the_exit() {
    let upstream = Upstream::answering(http("200 OK", "", "{}"));
    let daemon = Daemon::start(&upstream.base_url(), &[("RUST_LOG", "debug")]);
    let ports = daemon.logged("port");
    let port = u16::try_from(ports[0].as_u64().unwrap()).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let key = "0".repeat(80);
    let request = format!("GET /api/v10/users/@me HTTP/1.1\r\nauthorization: Bot {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"", "port {port}");
    assert_eq!(upstream.connections(), 0);
}
