//! `/metrics`: every figure has its name, its type and its labels, and counts what it says.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{daemon::Daemon, http::Client, lines::Lines, websocket::Socket};

/// Where nobody is.
const NOWHERE: &str = "http://127.0.0.1:9";

/// How long figures may take to become what they should: a connection ends behind its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Holds that of the figures that begin like this these, and no others, are not nothing.
fn check(eye: &mut Client, start: &str, expected: &[(&str, f64)]) {
    let begun = Instant::now();
    loop {
        let figures = eye.figures().into_iter();
        let mut found: Vec<_> = figures
            .filter_map(|(name, value)| Some((name.strip_prefix(start)?.to_owned(), value)))
            .collect();
        found.retain(|(_, value)| *value != 0.0);
        found.sort_by(|one, other| one.0.cmp(&other.0));
        let as_texts = found.iter().map(|(name, value)| (name.as_str(), *value));
        if as_texts.eq(expected.iter().copied()) || begun.elapsed() > PATIENCE {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect();
            assert_eq!(found, expected, "{start}");
            return;
        }
    }
}

#[test]
fn each_connection_is_counted_at_its_door_under_what_it_speaks() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let health = json!({"jsonrpc": "2.0", "id": 1, "method": "health"});
    let mut lines = daemon.lines();
    lines.ask(&health);
    let mut tcp = Lines::tcp(daemon.tcp);
    tcp.ask(&health);
    let mut socket = Socket::connect(&daemon);
    socket.ask(&health.to_string());
    let mut http = Client::plain(daemon.tcp);
    http.send("GET", "/livez", &[], b"");
    daemon.lines().exchange(b"nonsense");
    let mut eye = daemon.http();
    let open = [
        (r#"{door="tcp",framing="http",tls="false"}"#, 1.0),
        (r#"{door="tcp",framing="lines",tls="false"}"#, 1.0),
        (r#"{door="unix",framing="http",tls="false"}"#, 1.0),
        (r#"{door="unix",framing="lines",tls="false"}"#, 1.0),
        (r#"{door="unix",framing="websocket",tls="false"}"#, 1.0),
    ];
    check(&mut eye, "discordd_connections_open", &open);
    let accepted = [(r#"{door="tcp"}"#, 2.0), (r#"{door="unix"}"#, 4.0)];
    check(&mut eye, "discordd_connections_accepted_total", &accepted);
    let refused = [(r#"{reason="nonsense"}"#, 1.0)];
    check(&mut eye, "discordd_refusals_total", &refused);
}

#[test]
fn what_is_turned_away_is_counted_by_its_reason() {
    let limits = [
        ("DISCORDD_LIMITS__BATCH", "2"),
        ("DISCORDD_LIMITS__REQUEST_BYTES", "1KiB"),
        ("DISCORDD_LIMITS__BODY_TIMEOUT", "100ms"),
    ];
    let daemon = Daemon::start(NOWHERE, &limits);
    let mut eye = daemon.http();
    let mut counted: Vec<(&str, f64)> = Vec::new();
    let json = ("content-type", "application/json");
    let long = format!("[{}", " ".repeat(2000));
    let post = |headers: &[(&str, &str)], body: &str| {
        let mut client = Client::plain(daemon.tcp);
        client.send("POST", "/", headers, body.as_bytes());
    };
    let cases: [(&str, &dyn Fn()); 12] = [
        ("batch", &|| post(&[json], "[1,2,3]")),
        ("content_type", &|| post(&[], "{}")),
        ("cut", &|| drop(daemon.lines().exchange(b"{"))),
        ("host", &|| post(&[json, ("host", "evil.example")], "{}")),
        ("invalid_request", &|| post(&[json], "{}")),
        ("invalid_request", &|| post(&[json], "[]")),
        ("late", &|| {
            let mut lines = daemon.lines();
            lines.send(b"{");
            lines.rest();
        }),
        ("late", &|| {
            let mut client = daemon.http();
            client.begin("POST", "/", &[json], 9);
            client.finish(b"{");
        }),
        ("origin", &|| post(&[json, ("origin", "null")], "{}")),
        ("parse_error", &|| drop(daemon.lines().exchange(b"[1 2]"))),
        ("too_large", &|| post(&[json], &long)),
        ("too_large", &|| {
            drop(daemon.lines().exchange(long.as_bytes()));
        }),
    ];
    for (reason, act) in cases {
        act();
        match counted.last_mut() {
            Some((last, count)) if *last == reason => *count += 1.0,
            Some(_) | None => counted.push((reason, 1.0)),
        }
        let names: Vec<_> = counted
            .iter()
            .map(|(reason, _)| format!(r#"{{reason="{reason}"}}"#))
            .collect();
        let expected = names
            .iter()
            .zip(&counted)
            .map(|(name, (_, count))| (name.as_str(), *count));
        check(
            &mut eye,
            "discordd_refusals_total",
            &expected.collect::<Vec<_>>(),
        );
    }
}
