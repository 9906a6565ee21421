//! `/metrics`: every figure has its name, its type and its labels, and counts what it says.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use discordd::operation::TABLE;
use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon, http::Client, lines::Lines, many::params, mcp, sandbox::SandboxProcess,
    websocket::Socket,
};

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

/// Holds that what is done changes one count of calls by one, and no other.
fn changes_one(eye: &mut Client, expected: &str, act: &dyn Fn()) {
    let calls = |eye: &mut Client| -> BTreeMap<String, f64> {
        let figures = eye.figures().into_iter();
        let calls = figures.filter_map(|(name, value)| {
            let labels = name.strip_prefix("discordd_calls_total")?;
            Some((labels.to_owned(), value))
        });
        calls.collect()
    };
    let mut wanted = calls(eye);
    let place = wanted.get_mut(expected);
    *place.unwrap_or_else(|| panic!("no {expected}")) += 1.0;
    act();
    assert_eq!(calls(eye), wanted);
}

#[test]
fn each_call_is_counted_once_by_its_method_and_what_came_of_it() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let (token, channel) = (sandbox.token(0), sandbox.channel("general"));
    let mut eye = daemon.http();
    let of = |method: &str, outcome: &str| format!(r#"{{method="{method}",outcome="{outcome}"}}"#);
    for entry in TABLE {
        let ask = |token: Option<&str>, more: &Value| {
            let mut params = params(entry, token, channel, "hi");
            params
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            daemon.call(entry.name, &params);
        };
        let (name, none) = (entry.name, json!({}));
        changes_one(&mut eye, &of(name, "ok"), &|| ask(Some(token), &none));
        let wrong = json!({"wrong": 1});
        changes_one(&mut eye, &of(name, "invalid_params"), &|| {
            ask(Some(token), &wrong);
        });
        if entry.takes_token() {
            changes_one(&mut eye, &of(name, "invalid_params"), &|| ask(None, &none));
            changes_one(&mut eye, &of(name, "invalid_token"), &|| {
                ask(Some("wrong"), &none);
            });
            sandbox.fault_all(r#"{"status":503}"#);
            changes_one(&mut eye, &of(name, "unavailable"), &|| {
                ask(Some(token), &none);
            });
            assert_eq!(sandbox.own("DELETE", "/faults", "").status, 204);
        }
        let Some(tool) = entry.tool else { continue };
        let arguments = params(entry, None, channel, "hi");
        let call = mcp::request(1, "tools/call", &mcp::tool(tool.name, &arguments));
        changes_one(&mut eye, &of(name, "ok"), &|| {
            mcp::ask(&mut daemon.http(), "/mcp", token, &call);
        });
    }
    let json = ("content-type", "application/json");
    let authorization = format!("Bot {token}");
    changes_one(&mut eye, &of("discord.listChannels", "ok"), &|| {
        let headers = [json, ("authorization", &authorization)];
        daemon.http().send("POST", "/channels", &headers, b"{}");
    });
    changes_one(&mut eye, &of("health", "ok"), &|| {
        daemon.http().send("GET", "/health", &[], b"");
    });
    for (method, outcome) in [
        ("rpc.discover", "ok"),
        ("unknown", "method_not_found"),
        ("made.up", "method_not_found"),
    ] {
        let counted = if outcome == "ok" { method } else { "unknown" };
        changes_one(&mut eye, &of(counted, outcome), &|| {
            daemon.call(method, &json!({}));
        });
    }
}
