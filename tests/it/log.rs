//! The log: what is told of a call, in which format, and at which level.

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    http::Client,
    logged::{Logged, fields},
    mcp,
    sandbox::SandboxProcess,
    websocket::Socket,
};

const NOWHERE: &str = "http://127.0.0.1:9";
/// A trace, as the standard spells it.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the log of a daemon tells of calls that are over.
fn calls(daemon: Daemon) -> Vec<Value> {
    let log = daemon.stop();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["message"] == "call")
        .collect()
}

/// Holds that a line tells this, beside when it was and how long the call took.
fn check(line: &Value, expected: &Value) {
    let mut line = line.clone();
    let object = line.as_object_mut().unwrap();
    assert!(object.remove("timestamp").unwrap().is_string());
    let took = object.remove("duration_ms").unwrap().as_f64().unwrap();
    assert!((0.001..30_000.0).contains(&took), "{took}");
    assert_eq!(&line, expected);
}

#[test]
fn a_call_is_told_of_once_with_who_asked_and_what_came_of_it() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let (bot, token) = (&sandbox.line.bots[0], sandbox.token(0));
    let params = json!([token, sandbox.channel("general"), "hi"]);
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage", "params": params});
    let trace = ("traceparent", TRACE);
    let headers = [("content-type", "application/json"), trace];
    daemon.lines().ask(&call);
    Client::plain(daemon.tcp).send("POST", "/", &headers, call.to_string().as_bytes());
    Socket::connect_with(&daemon, &[trace]).ask(&call.to_string());
    let body =
        json!({"discord_token": token, "channel_id": sandbox.channel("general"), "content": ""});
    daemon
        .http()
        .send("POST", "/messages", &headers, body.to_string().as_bytes());
    let mut tool = mcp::request(1, "tools/call", &mcp::tool("list_channels", &json!({})));
    tool["params"]["_meta"]["traceparent"] = json!(TRACE);
    mcp::ask(&mut daemon.http(), "/mcp", token, &tool);
    let uid = rustix::process::getuid().as_raw();
    let told = |more: &Value| {
        let mut told = json!({"level": "INFO", "message": "call", "target": "discordd::call",
            "method": "discord.sendMessage", "door": "unix", "peer": "unix", "uid": uid,
            "outcome": "ok", "bot_id": bot.id, "attempts": 1});
        for (name, value) in more.as_object().unwrap() {
            if value.is_null() {
                told.as_object_mut().unwrap().remove(name);
            } else {
                told[name] = value.clone();
            }
        }
        told
    };
    let calls = calls(daemon);
    assert_eq!(calls.len(), 5, "{calls:?}");
    check(&calls[0], &told(&json!({"framing": "lines"})));
    let tcp =
        json!({"framing": "http", "door": "tcp", "peer": "tcp", "uid": null, "traceparent": TRACE});
    check(&calls[1], &told(&tcp));
    check(
        &calls[2],
        &told(&json!({"framing": "websocket", "traceparent": TRACE})),
    );
    let refused = json!({"framing": "rest", "traceparent": TRACE, "outcome": "invalid_params",
        "code": -32602, "delivered": "no", "attempts": null});
    check(&calls[3], &told(&refused));
    let tool = json!({"framing": "mcp", "traceparent": TRACE, "method": "discord.listChannels", "attempts": 3});
    check(&calls[4], &told(&tool));
}

#[test]
fn only_what_the_operator_should_look_into_is_a_warning() {
    let sandbox = SandboxProcess::start(&[]);
    let filter = [("DISCORDD_LOG__FILTER", "info,discordd::call=debug")];
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &filter);
    let post = |token: &str| {
        let params = json!([token, sandbox.channel("general"), "hi"]);
        daemon.call("discord.sendMessage", &params);
    };
    daemon.call("health", &json!({}));
    daemon.call("made.up", &json!({}));
    post("wrong");
    sandbox.fault_all(r#"{"status":503}"#);
    post(sandbox.token(0));
    let told: Vec<_> = calls(daemon)
        .iter()
        .map(|line| {
            format!(
                "{} {} {} {}",
                line["level"], line["method"], line["outcome"], line["code"]
            )
            .replace('"', "")
        })
        .collect();
    let expected = [
        "DEBUG health ok null",
        "DEBUG unknown method_not_found -32601",
        "INFO discord.sendMessage invalid_token 401",
        "WARN discord.sendMessage unavailable 503",
    ];
    assert_eq!(told, expected);
}

#[test]
fn calls_can_be_left_out_and_a_warning_then_says_itself_which_it_is() {
    let daemon = Daemon::start(NOWHERE, &[("RUST_LOG", "info,discordd::call=warn")]);
    daemon.call("health", &json!({}));
    daemon.call("discord.test", &json!(["wrong", null, null, 7]));
    daemon.call("discord.sendMessage", &json!(["wrong", 1, "hi"]));
    let calls = calls(daemon);
    assert_eq!(calls.len(), 1);
    let expected = json!({"level": "WARN", "message": "call", "target": "discordd::call",
        "method": "discord.sendMessage", "framing": "lines", "outcome": "unavailable", "code": 503,
        "delivered": "no"});
    check(&calls[0], &expected);
}

#[test]
fn a_trace_that_is_none_and_an_address_are_left_out() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage", "params": {}});
    for headers in [
        &[("traceparent", "made-up")][..],
        &[("traceparent", TRACE), ("traceparent", TRACE)],
    ] {
        let headers = [&[("content-type", "application/json")], headers].concat();
        Client::plain(daemon.tcp).send("POST", "/", &headers, call.to_string().as_bytes());
    }
    let log = daemon.stop();
    assert_eq!(log.matches("discordd::call").count(), 2);
    assert!(
        !log.contains("traceparent") && !log.contains("\"address\":\"127.0.0.1\""),
        "{log}"
    );
    let daemon = Daemon::start(NOWHERE, &[("RUST_LOG", "debug")]);
    let headers = [("content-type", "application/json")];
    Client::plain(daemon.tcp).send("POST", "/", &headers, call.to_string().as_bytes());
    assert_eq!(calls(daemon)[0]["address"], "127.0.0.1");
}

#[test]
fn a_call_that_reads_and_that_nobody_waits_for_is_told_of() {
    let sandbox = SandboxProcess::start(&[]);
    sandbox.fault_all(r#"{"hang":"head"}"#);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let mut lines = daemon.lines();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.listChannels", "params": [sandbox.token(0)]});
    lines.send(call.to_string().as_bytes());
    while sandbox.stats().requests == 0 {}
    drop(lines);
    daemon.wait_for_log("discordd::call");
    let calls = calls(daemon);
    assert_eq!(calls[0]["outcome"], "unavailable");
    assert_eq!(calls[0]["delivered"], "no");
}

#[test]
fn the_journal_gets_every_field_by_its_name() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    for daemon in [
        Logged::in_journal(&base_url, true, None),
        Logged::start("journald", &base_url, &[]),
    ] {
        let params = json!([sandbox.token(0), sandbox.channel("general"), "hi"]);
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage", "params": params});
        daemon.lines().ask(&call);
        let (entries, stderr) = daemon.stop();
        assert_eq!(stderr, "");
        // The first asks only whether the journal is there.
        assert!(entries[0].is_empty());
        let entries: Vec<Value> = entries[1..].iter().map(|entry| fields(entry)).collect();
        let call = entries
            .iter()
            .find(|entry| entry["DISCORDD_TARGET"] == "discordd::call")
            .unwrap();
        for (name, value) in [
            ("DISCORDD_ATTEMPTS", "1"),
            ("DISCORDD_BOT_ID", &sandbox.line.bots[0].id),
            ("DISCORDD_DOOR", "unix"),
            ("DISCORDD_FRAMING", "lines"),
            ("DISCORDD_METHOD", "discord.sendMessage"),
            ("DISCORDD_OUTCOME", "ok"),
            ("DISCORDD_PEER", "unix"),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "discordd"),
        ] {
            assert_eq!(call[name], value, "{name}");
        }
        let told = call["MESSAGE"].as_str().unwrap();
        assert!(
            told.starts_with("call method=discord.sendMessage framing=lines"),
            "{told}"
        );
        assert!(told.contains(" outcome=ok duration_ms="), "{told}");
    }
}

#[test]
fn where_the_journal_is_not_the_log_is_json_on_standard_error() {
    let elsewhere = Some("1:1");
    for daemon in [
        Logged::in_journal(NOWHERE, true, elsewhere),
        Logged::in_journal(NOWHERE, false, None),
        Logged::start("json", NOWHERE, &[]),
    ] {
        let (entries, stderr) = daemon.stop();
        assert!(entries.is_empty());
        let lines = stderr
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert!(lines.filter(|line| line["message"] == "ready").count() == 1);
    }
}

#[test]
fn text_is_for_people() {
    let daemon = Logged::start("text", NOWHERE, &[]);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage", "params": {}});
    daemon.lines().ask(&call);
    let (_, log) = daemon.stop();
    let line = log
        .lines()
        .find(|line| line.contains("discordd::call"))
        .unwrap();
    let told = " INFO call{method=\"discord.sendMessage\" framing=lines door=\"unix\"";
    assert!(line.contains(told), "{line}");
    assert!(
        line.contains("outcome=invalid_params code=-32602 delivered=no duration_ms="),
        "{line}"
    );
    assert!(!log.contains('\u{1b}'), "colours in a file: {log}");
}
