//! The doors: what is told apart at them, and how calls come and go on a connection.

use std::{io::Write as _, os::unix::net::UnixStream};

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    http::Client,
    lines::Lines,
    upstream::{Upstream, http},
};

/// Nobody is asked anything in these tests.
const NOWHERE: &str = "http://127.0.0.1:9";

fn health(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "health"})
}

/// Holds what each of `answers` says: a result, or the code of its error, under its id.
fn assert_answers(answers: &[Value], expected: &[Outcome], about: &str) {
    let found: Vec<Outcome> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer["jsonrpc"], "2.0");
            let code = answer["error"]["code"].as_i64();
            assert_eq!(
                code.is_none(),
                answer["result"]["status"] == "healthy",
                "{answer}"
            );
            (
                answer["id"].clone(),
                code.map(|it| i32::try_from(it).unwrap()),
            )
        })
        .collect();
    assert_eq!(found, expected, "for {about}");
}

#[test]
fn raw_texts_are_taken_however_they_are_laid_out() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let ok = |id: i32| (json!(id), None);
    let one = health(&json!(1)).to_string();
    let two = health(&json!(2)).to_string();
    let pretty = serde_json::to_string_pretty(&health(&json!(3))).unwrap();
    for (input, expected) in [
        (format!("{one}\n{two}\n"), vec![ok(1), ok(2)]),
        (format!("{one}{two}"), vec![ok(1), ok(2)]),
        (format!("\n \t{one}"), vec![ok(1)]),
        (format!("{pretty}\n{one}"), vec![ok(3), ok(1)]),
        (format!("{one}\r\n{two}\r\n"), vec![ok(1), ok(2)]),
    ] {
        let answers = daemon.lines().exchange(input.as_bytes());
        assert_answers(&answers, &expected, &input);
        let answers = Lines::tcp(daemon.tcp).exchange(input.as_bytes());
        assert_answers(&answers, &expected, &input);
    }
}

/// The id of an answer, and the code of its error if it is one.
type Outcome = (Value, Option<i32>);

/// Inputs that are no calls, or hold some, and what each is answered with.
fn not_calls() -> Vec<(String, Vec<Outcome>)> {
    let err = |code: i32| (Value::Null, Some(code));
    let one = health(&json!("a"));
    let ok = (json!("a"), None);
    vec![
        (
            r#"{"jsonrpc":"2.0","method":"foobar","params":"bar","baz]"#.to_owned(),
            vec![err(-32700)],
        ),
        (
            r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#.to_owned(),
            vec![err(-32600)],
        ),
        ("[]".to_owned(), vec![err(-32600)]),
        (
            format!("{one} hello\n{one}"),
            vec![ok.clone(), err(-32700), ok.clone()],
        ),
        (format!("{{\"a\":\"b\n{one}"), vec![err(-32700), ok.clone()]),
        (
            format!("{one}12\n{one}"),
            vec![ok.clone(), err(-32600), ok.clone()],
        ),
        (format!("{{\"a\":1}}{one}"), vec![err(-32600), ok.clone()]),
        (
            format!("{one}{}", "[".repeat(200)),
            vec![ok.clone(), err(-32700)],
        ),
        (
            r#"{"jsonrpc":"2.0","id":[1],"method":"health"}"#.to_owned(),
            vec![err(-32600)],
        ),
        (
            r#"{"jsonrpc":"2.0","id":4,"method":"health","params":1}"#.to_owned(),
            vec![(json!(4), Some(-32600))],
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"nothing"}"#.to_owned(),
            vec![(json!(5), Some(-32601))],
        ),
        (
            r#"{"jsonrpc":"2.0","id":6,"method":"health","params":{"x":1}}"#.to_owned(),
            vec![(json!(6), Some(-32602))],
        ),
        (
            r#"{"jsonrpc":"1.0","id":7,"method":"health"}"#.to_owned(),
            vec![(json!(7), Some(-32600))],
        ),
    ]
}

#[test]
fn what_is_no_call_is_answered_as_the_specification_says() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for (input, mut expected) in not_calls() {
        let mut answers = daemon.lines().exchange(input.as_bytes());
        // Answers come as they are ready.
        answers.sort_by_key(|answer| answer["id"].to_string());
        expected.sort_by_key(|(id, _)| id.to_string());
        assert_answers(&answers, &expected, &input);
    }
}

#[test]
fn ids_come_back_as_they_were_sent() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for id in [
        "1",
        "-1",
        "1.5",
        "1e400",
        "0",
        r#""""#,
        r#""a\"b""#,
        "null",
        "18446744073709551616",
    ] {
        let call = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"health"}}"#);
        let mut stream = UnixStream::connect(&daemon.socket).unwrap();
        stream.write_all(call.as_bytes()).unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stream), &mut line).unwrap();
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"#);
        assert!(line.starts_with(&head), "{line}");
    }
}

#[test]
fn a_batch_is_answered_in_one_text_and_a_notification_by_nothing() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let notification = json!({"jsonrpc": "2.0", "method": "health"});
    let batch = json!([health(&json!(1)), notification, health(&json!(2)), 3]);
    let answers = daemon.lines().ask(&batch);
    let expected = [
        (json!(1), None),
        (json!(2), None),
        (Value::Null, Some(-32600)),
    ];
    assert_answers(answers.as_array().unwrap(), &expected, "a batch");
    let silent = format!("{notification}{}", json!([notification, notification]));
    assert_eq!(daemon.lines().exchange(silent.as_bytes()), [Value::Null; 0]);
    let long = Value::from(vec![health(&json!(1)); 101]);
    assert_answers(
        &[daemon.lines().ask(&long)],
        &[(Value::Null, Some(-32600))],
        "a long batch",
    );
}

#[test]
fn a_list_is_no_call_and_no_object() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let answers = daemon.lines().ask(&json!([["2.0", 1, "health", {}]]));
    assert_answers(
        answers.as_array().unwrap(),
        &[(Value::Null, Some(-32600))],
        "a list",
    );
    let params = json!({"discord_token": "t", "channel_id": 1, "content": "x",
        "allowed_mentions": [["everyone"], [], [], false]});
    let answer = daemon.call("discord.sendMessage", &params);
    assert_eq!(
        answer["error"]["message"],
        "allowed_mentions: expected an object, not a list"
    );
}

#[test]
fn mistakes_in_the_protocol_say_that_nothing_was_delivered() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for (input, kind) in [
        ("{]", "parse_error"),
        ("{}", "invalid_request"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#,
            "method_not_found",
        ),
    ] {
        let answers = daemon.lines().exchange(input.as_bytes());
        let expected = json!({"kind": kind, "retryable": false, "delivered": "no"});
        assert_eq!(answers[0]["error"]["data"], expected, "{input}");
    }
}

#[test]
fn the_calls_of_batches_count_one_by_one() {
    // With two places on the connection a third call must wait for one of the first.
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(
        &upstream.base_url(),
        &[("DISCORDD_LIMITS__CALLS_PER_CONNECTION", "2")],
    );
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
        "params": ["t", "1", "x"]});
    let mut lines = daemon.lines();
    lines.send(json!([call, call, call]).to_string().as_bytes());
    lines.send(json!([call, call, call]).to_string().as_bytes());
    for _ in 0..2 {
        gate.wait();
    }
    let health = daemon.call("health", &json!({}));
    assert_eq!(health["result"]["in_flight"], 2);
    assert_eq!(upstream.requests(), 2);
    for _ in 0..6 {
        gate.open();
    }
    for _ in 0..2 {
        assert_eq!(lines.read().as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_answers_of_batches_have_the_room_of_unread_answers() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(
        &upstream.base_url(),
        &[("DISCORDD_LIMITS__RESPONSE_BYTES", "64KiB")],
    );
    let send = json!({"jsonrpc": "2.0", "id": "send", "method": "discord.sendMessage",
        "params": ["t", "1", "x"]});
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"});
    let mut batch = vec![discover; 20];
    batch.insert(0, send);
    let mut lines = daemon.lines();
    lines.send(json!(batch).to_string().as_bytes());
    gate.wait();
    for _ in 0..20 {
        daemon.call("health", &json!({}));
    }
    gate.open();
    let answers = lines.read();
    let codes: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["error"]["code"])
        .collect();
    assert_eq!(codes.len(), 21);
    assert_eq!(*codes[0], 404);
    let refused = codes.iter().filter(|code| ***code == 503).count();
    assert!((10..20).contains(&refused), "{codes:?}");
}

#[test]
fn a_text_that_does_not_end_is_given_up_in_time() {
    let limits = [
        ("DISCORDD_LIMITS__BODY_TIMEOUT", "200ms"),
        ("DISCORDD_LIMITS__IDLE_TIMEOUT", "1h"),
    ];
    let daemon = Daemon::start(NOWHERE, &limits);
    let mut lines = daemon.lines();
    lines.send(br#"{"jsonrpc":"#);
    let answers = lines.rest();
    assert_answers(&answers, &[(Value::Null, Some(-32700))], "half a text");
    let mut lines = daemon.lines();
    lines.ask(&health(&json!(1)));
    lines.send(br#"{"jsonrpc":"#);
    assert_answers(
        &lines.rest(),
        &[(Value::Null, Some(-32700))],
        "a later half",
    );
}

#[test]
fn a_silent_connection_is_closed_in_time() {
    let limits = [
        ("DISCORDD_LIMITS__FIRST_BYTE_TIMEOUT", "200ms"),
        ("DISCORDD_LIMITS__IDLE_TIMEOUT", "200ms"),
        ("DISCORDD_LIMITS__HEADER_TIMEOUT", "200ms"),
        ("DISCORDD_LIMITS__BODY_TIMEOUT", "200ms"),
    ];
    let daemon = Daemon::start(NOWHERE, &limits);
    assert_eq!(daemon.lines().rest(), [Value::Null; 0]);
    let mut lines = daemon.lines();
    lines.ask(&health(&json!(1)));
    assert_eq!(lines.rest(), [Value::Null; 0]);
    for half in [
        "POST / HTTP/1.1\r\n",
        "GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut stream = UnixStream::connect(&daemon.socket).unwrap();
        stream.write_all(half.as_bytes()).unwrap();
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut all).unwrap();
    }
}

#[test]
fn an_answer_over_http_that_nobody_reads_is_given_up_in_time() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__WRITE_TIMEOUT", "200ms")]);
    let call = json!({"jsonrpc": "2.0", "id": "x".repeat(900_000), "method": "health"});
    let call = call.to_string();
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    let start = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        call.len()
    );
    stream.write_all(start.as_bytes()).unwrap();
    stream.write_all(call.as_bytes()).unwrap();
    // One connection is ours, the other the question's.
    let connections = || {
        let text = daemon.http().send("GET", "/metrics", &[], b"").body;
        let text = String::from_utf8(text).unwrap();
        let fds = text
            .lines()
            .find_map(|line| line.strip_prefix("process_open_fds "));
        fds.unwrap().parse::<u32>().unwrap()
    };
    let before = connections();
    while connections() >= before {
        std::thread::yield_now();
    }
}

#[test]
fn one_place_serves_both_doors() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__CONNECTIONS", "1")]);
    for _ in 0..3 {
        let one = health(&json!(1)).to_string();
        assert_eq!(daemon.lines().exchange(one.as_bytes()).len(), 1);
        assert_eq!(Lines::tcp(daemon.tcp).exchange(one.as_bytes()).len(), 1);
    }
}

#[test]
fn many_calls_are_under_way_on_one_connection_and_answered_as_they_are_ready() {
    // The first message is answered only when the last has come: none may wait for another.
    let (all, count) = (16, std::sync::Arc::new(std::sync::Barrier::new(16)));
    let upstream = Upstream::start(move |_, stream| {
        count.wait();
        let _ = stream.write_all(http("404 Not Found", "", "{}").as_bytes());
    });
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let mut lines = daemon.lines();
    for id in 0..all {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "discord.sendMessage",
            "params": ["t", "1", "hello"]});
        lines.send(call.to_string().as_bytes());
    }
    assert_eq!(lines.ask(&health(&json!("quick")))["id"], "quick");
    let mut ids: Vec<i64> = (0..all)
        .map(|_| lines.read()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..all));
}

#[test]
fn a_call_is_finished_and_answered_after_the_caller_half_closes() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":["t","1","x"]}"#;
    // Answered only when the daemon has had every chance to see the end of the input.
    let answer_later = || {
        for _ in 0..20 {
            daemon.call("health", &json!({}));
        }
        gate.open();
    };
    for mut lines in [daemon.lines(), Lines::tcp(daemon.tcp)] {
        lines.send(call.as_bytes());
        lines.end();
        answer_later();
        let answers = lines.rest();
        assert_eq!(answers[0]["error"]["code"], 404, "{answers:?}");
    }
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{call}",
        call.len()
    );
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    answer_later();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.contains(r#""code":404"#), "{answer}");
}

#[test]
fn a_message_is_posted_although_its_caller_hangs_up() {
    let (sender, posted) = std::sync::mpsc::channel();
    let (hung_up, wait) = std::sync::mpsc::channel::<()>();
    let (sender, wait) = (std::sync::Mutex::new(sender), std::sync::Mutex::new(wait));
    let upstream = Upstream::start(move |_, stream| {
        let body =
            r#"{"id":"9","channel_id":"1","author":{"id":"2","username":"b"},"timestamp":"t"}"#;
        wait.lock().unwrap().recv().unwrap();
        let written = stream.write_all(http("200 OK", "", body).as_bytes());
        let closed = std::io::Read::read(stream, &mut [0]);
        sender
            .lock()
            .unwrap()
            .send((written.is_ok(), closed.ok()))
            .unwrap();
    });
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let mut lines = daemon.lines();
    lines.send(br#"{"jsonrpc":"2.0","method":"discord.sendMessage","params":["t","1","x"]}"#);
    while upstream.connections() == 0 {
        std::thread::yield_now();
    }
    drop(lines);
    hung_up.send(()).unwrap();
    // The answer was taken, and the connection closed in order.
    assert_eq!(posted.recv().unwrap(), (true, Some(0)));
}

#[test]
fn other_protocols_get_one_line_and_are_closed() {
    let daemon = Daemon::start(NOWHERE, &[]);
    for input in [
        &b"\x16\x03\x01\x00\xa5\x01"[..],
        b"hello\n",
        b"\0\0\0",
        b"\xff\xfe",
        &[b'~'; 1000],
    ] {
        let answers = Lines::tcp(daemon.tcp).exchange(input);
        assert_answers(&answers, &[(Value::Null, Some(-32700))], "nonsense");
    }
    assert_eq!(daemon.lines().exchange(b""), [Value::Null; 0]);
    assert_eq!(daemon.lines().exchange(b" \n"), [Value::Null; 0]);
}

#[test]
fn a_connection_that_sends_only_rubbish_is_closed() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut lines = daemon.lines();
    lines.send(format!("{}{}", health(&json!(1)), "rubbish\n".repeat(8)).as_bytes());
    let answers = lines.rest();
    assert_eq!(answers.len(), 9, "{answers:?}");
}

#[test]
fn http_answers_with_statuses() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let json = ("content-type", "application/json; charset=utf-8");
    let call = health(&json!(1)).to_string();
    let notification = r#"{"jsonrpc":"2.0","method":"health"}"#;
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    for (method, path, headers, body, status) in [
        ("POST", "/", vec![json], call.as_str(), 200),
        ("POST", "/", vec![json], notification, 204),
        ("POST", "/", vec![json], "{", 200),
        ("POST", "/", vec![], &call, 415),
        (
            "POST",
            "/",
            vec![("content-type", "text/plain")],
            &call,
            415,
        ),
        (
            "POST",
            "/",
            vec![json, ("origin", "http://example.org")],
            &call,
            403,
        ),
        ("POST", "/", vec![json], &long, 413),
        ("GET", "/", vec![], "", 405),
        ("GET", "/health", vec![], "", 200),
        ("POST", "/health", vec![json], "", 405),
        ("GET", "/elsewhere", vec![], "", 404),
    ] {
        for mut client in [daemon.http(), Client::plain(daemon.tcp)] {
            let answer = client.send(method, path, &headers, body.as_bytes());
            assert_eq!(answer.status, status, "{method} {path} {headers:?}");
            let allow = answer.header("allow").is_some();
            assert_eq!(allow, status == 405, "{method} {path}");
        }
    }
    let mut client = daemon.http();
    for _ in 0..3 {
        let answer = client.send("GET", "/health", &[], b"").json();
        assert_eq!(answer["status"], "healthy");
        assert_eq!(answer["stateless"], true);
        assert_eq!(answer["upstream"], "127.0.0.1");
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_costs_bounded_memory() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut stream = UnixStream::connect(&daemon.socket).unwrap();
    stream.set_nonblocking(true).unwrap();
    let before = daemon.resident_kib();
    let calls = format!("{}\n", health(&json!(1))).repeat(1000);
    let mut sent = 0;
    // The daemon stops reading once its own answers wait; then the kernel's buffers fill up.
    let mut full = 0;
    while full < 200 && sent < 64 << 20 {
        if let Ok(written) = stream.write(calls.as_bytes()) {
            (sent, full) = (sent + written, 0);
        } else {
            full += 1;
            assert_eq!(daemon.call("health", &json!({}))["id"], 1);
        }
    }
    assert!(sent < 64 << 20, "it went on reading: {sent} bytes");
    let grown = daemon.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB for one connection");
}

#[test]
fn a_host_that_is_not_this_machines_is_refused_on_loopback_and_nowhere_else() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let ask = |mut client: Client, host: &str, method: &str, path: &str| {
        let headers = [("host", host), ("content-type", "application/json")];
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "health"});
        client
            .send(method, path, &headers, body.to_string().as_bytes())
            .status
    };
    let tcp = || Client::plain(daemon.tcp);
    for (method, path) in [
        ("POST", "/"),
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("POST", "/mcp"),
        ("POST", "/messages"),
    ] {
        assert_eq!(ask(tcp(), "evil.example", method, path), 403, "{path}");
        assert_ne!(ask(tcp(), "localhost", method, path), 403, "{path}");
        assert_ne!(
            ask(daemon.http(), "evil.example", method, path),
            403,
            "{path}"
        );
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(ask(tcp(), "evil.example", "GET", path), 200, "{path}");
    }
    let variables = [("DISCORDD_LISTEN__ALLOWED_HOSTS", "good.example")];
    let daemon = Daemon::start(NOWHERE, &variables);
    assert_eq!(
        ask(
            Client::plain(daemon.tcp),
            "good.example:9091",
            "GET",
            "/health"
        ),
        200
    );
    assert_eq!(
        ask(
            Client::plain(daemon.tcp),
            "evil.example:9091",
            "GET",
            "/health"
        ),
        403
    );
}
