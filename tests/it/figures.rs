//! `/metrics`: every figure has its name, its type and its labels, and counts what it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use discordd::operation::TABLE;
use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon, http::Client, lines::Lines, many::params, mcp, page::read_page,
    sandbox::SandboxProcess, websocket::Socket,
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

/// What the figures call a message that is posted.
const POST: &str = r#"{route="POST /channels/{channel.id}/messages",class="#;

/// Holds that posting a message makes one request, which comes to this.
fn posts_once(daemon: &Daemon, sandbox: &SandboxProcess, class: &str) {
    let mut eye = daemon.http();
    let params = json!([sandbox.token(0), sandbox.channel("general"), "hi"]);
    daemon.call("discord.sendMessage", &params);
    let name = format!("{POST}\"{class}\"}}");
    check(
        &mut eye,
        "discordd_upstream_requests_total",
        &[(&name, 1.0)],
    );
}

#[test]
fn each_request_to_discord_is_counted_by_what_came_of_it() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let settings = [
        ("DISCORDD_DISCORD__ATTEMPTS", "1"),
        ("DISCORDD_LIMITS__CALL_TIMEOUT", "500ms"),
    ];
    for (fault, class) in [
        (r#"{"status":200,"body":"{}"}"#, "2xx"),
        (r#"{"status":401}"#, "401"),
        (r#"{"status":403}"#, "403"),
        (r#"{"status":404}"#, "404"),
        (r#"{"status":408}"#, "4xx"),
        (r#"{"status":413}"#, "4xx"),
        (r#"{"status":503}"#, "5xx"),
        (
            r#"{"rate_limit":{"scope":"user","retry_after":1.5}}"#,
            "429",
        ),
        (r#"{"cloudflare":{"retry_after":60}}"#, "429"),
        (r#"{"drop":"before"}"#, "lost"),
        (r#"{"cut":10}"#, "unreadable"),
        (r#"{"hang":"head"}"#, "timed_out"),
    ] {
        sandbox.fault_all(fault);
        let daemon = Daemon::start(&base_url, &settings);
        posts_once(&daemon, &sandbox, class);
    }
    posts_once(&Daemon::start(NOWHERE, &settings), &sandbox, "unreachable");
    let base_url = format!("https://{}", sandbox.line.http);
    posts_once(&Daemon::start(&base_url, &settings), &sandbox, "tls");
}

#[test]
fn a_request_that_nobody_waits_for_is_counted_as_one() {
    let sandbox = SandboxProcess::start(&[]);
    sandbox.fault_all(r#"{"hang":"head"}"#);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let mut lines = daemon.lines();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.listChannels",
        "params": [sandbox.token(0)]});
    lines.send(call.to_string().as_bytes());
    while sandbox.stats().requests < 2 {}
    drop(lines);
    let abandoned = [
        (r#"{route="GET /users/@me",class="abandoned"}"#, 1.0),
        (r#"{route="GET /users/@me/guilds",class="abandoned"}"#, 1.0),
    ];
    let mut eye = daemon.http();
    check(&mut eye, "discordd_upstream_requests_total", &abandoned);
    let unavailable = r#"{method="discord.listChannels",outcome="unavailable"}"#;
    check(&mut eye, "discordd_calls_total", &[(unavailable, 1.0)]);
}

#[test]
fn whatever_is_asked_of_discord_is_a_route_that_has_a_name() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let guild = json!({"guild_id": sandbox.line.guild_id});
    for entry in TABLE.iter().filter(|entry| entry.takes_token()) {
        let mut params = params(
            entry,
            Some(sandbox.token(0)),
            sandbox.channel("general"),
            "hi",
        );
        daemon.call(entry.name, &params);
        params.as_object_mut().unwrap().remove("channel_id");
        daemon.call(entry.name, &params);
        params
            .as_object_mut()
            .unwrap()
            .extend(guild.as_object().unwrap().clone());
        daemon.call(entry.name, &params);
    }
    let figures = daemon.http().figures().into_iter();
    let mut asked: Vec<String> = figures
        .filter(|(name, count)| name.contains("route=") && *count > 0.0)
        .map(|(name, _)| name.split('"').nth(1).unwrap().to_owned())
        .collect();
    asked.sort();
    asked.dedup();
    let named = [
        "GET /channels/{channel.id}",
        "GET /guilds/{guild.id}",
        "GET /guilds/{guild.id}/channels",
        "GET /guilds/{guild.id}/members/{user.id}",
        "GET /users/@me",
        "GET /users/@me/guilds",
        "POST /channels/{channel.id}/messages",
    ];
    assert_eq!(asked, named);
}

#[test]
fn what_holds_requests_back_is_counted() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let daemon = Daemon::start(&base_url, &[]);
    let mut eye = daemon.http();
    let limit = json!({"rate_limit": {"scope": "shared", "retry_after": 0.3}});
    sandbox.fault(&json!({"times": 1, "do": limit}));
    let post = |token: &str| {
        let params = json!([token, sandbox.channel("general"), "hi"]);
        daemon.call("discord.sendMessage", &params)
    };
    assert!(post(sandbox.token(0))["result"].is_object());
    check(
        &mut eye,
        "discordd_rate_limit_waits_total",
        &[(r#"{scope="shared"}"#, 1.0)],
    );
    check(&mut eye, "discordd_upstream_repeats_total", &[("", 1.0)]);
    let waited = eye.figures()[r#"discordd_rate_limit_wait_seconds_total{scope="shared"}"#];
    assert!((0.25..1.0).contains(&waited), "{waited}");
    check(&mut eye, "discordd_guard_counted", &[]);
    post("wrong");
    post("wrong");
    check(&mut eye, "discordd_guard_counted", &[("", 1.0)]);
    check(
        &mut eye,
        "discordd_guard_held_back_total",
        &[(r#"{reason="token"}"#, 1.0)],
    );
    sandbox.fault_all(r#"{"cloudflare":{"retry_after":60}}"#);
    post(sandbox.token(0));
    let banned = eye.figures()["discordd_guard_banned_seconds"];
    assert!((50.0..=60.0).contains(&banned), "{banned}");
}

#[test]
fn every_figure_is_named_as_prometheus_asks_and_has_bounded_labels() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    daemon.call("discord.test", &json!([sandbox.token(0)]));
    let accept = [("accept", "application/openmetrics-text")];
    let page = daemon.http().send("GET", "/metrics", &accept, b"");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(page.header("content-type"), Some(kind));
    let text = String::from_utf8(page.body).unwrap();
    assert!(text.ends_with("\n# EOF\n"));
    for (name, family) in read_page(&text) {
        let ours = name.starts_with("discordd_") || name.starts_with("process_");
        assert!(
            ours && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name}"
        );
        let unit = name
            .rsplit('_')
            .next()
            .filter(|it| ["seconds", "bytes"].contains(it));
        assert_eq!(family.unit.as_deref(), unit, "{name}");
        assert!(
            !name.ends_with("_total") && !name.ends_with("_info"),
            "{name}"
        );
        let ends: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_sum", "_count", "_bucket"],
            "info" => &["_info"],
            kind => panic!("{name} is a {kind}"),
        };
        assert!(!family.samples.is_empty(), "{name}");
        for (end, labels) in &family.samples {
            assert!(ends.contains(&end.as_str()), "{name}{end}");
            for label in labels.split("\",").filter(|it| !it.is_empty()) {
                assert_is_bounded(label.trim_end_matches('"'));
            }
        }
    }
    let page = daemon
        .http()
        .send("GET", "/metrics", &[("accept", "*/*")], b"");
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(page.header("content-type"), Some(kind));
}

/// The figures that the README lists, with their types and labels.
fn listed() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let table = readme
        .split("| figure | type | labels | is |")
        .nth(1)
        .unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let names = |cell: &str| -> Vec<String> {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    let mut listed = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for name in names(cells[1]) {
            let labels = names(cells[3]).into_iter().collect();
            listed.insert(name, (cells[2].to_owned(), labels));
        }
    }
    listed
}

#[test]
fn the_readme_lists_every_figure_with_its_type_and_its_labels() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let accept = [("accept", "application/openmetrics-text")];
    let page = daemon.http().send("GET", "/metrics", &accept, b"");
    let mut written = BTreeMap::new();
    for (name, family) in read_page(&String::from_utf8(page.body).unwrap()) {
        let end = match family.kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels = family
            .samples
            .iter()
            .flat_map(|(_, labels)| labels.split("\","));
        let keys = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let keys = keys.filter(|key| key != "le").collect();
        written.insert(format!("{name}{end}"), (family.kind, keys));
    }
    assert_eq!(listed(), written);
}

/// Holds that a label has only values that are known beforehand.
fn assert_is_bounded(label: &str) {
    let (key, value) = label.split_once("=\"").unwrap();
    let words = value
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let known = match key {
        "class" | "framing" | "outcome" | "reason" | "scope" => words && value.len() < 20,
        "door" => ["tcp", "unix"].contains(&value),
        "le" => value == "+Inf" || value.parse::<f64>().unwrap() <= 30.0,
        "method" => {
            let more = ["rpc.discover", "unknown"];
            more.contains(&value) || TABLE.iter().any(|entry| entry.name == value)
        }
        "route" => !value.chars().any(|c| c.is_ascii_digit()),
        "tls" => ["false", "true"].contains(&value),
        "version" => value == env!("CARGO_PKG_VERSION"),
        _ => false,
    };
    assert!(known, "{label}");
}
