//! Tokens and messages: in no log at any level, no figure and no answer, whatever happens to the
//! call.

use std::{collections::BTreeSet, thread};

use discordd::operation::{Entry, TABLE};
use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    http::Client,
    lines::Lines,
    logged::Logged,
    many,
    many::params,
    mcp,
    sandbox::{FAULTS, SandboxProcess},
    upstream::{Upstream, http},
    websocket::Socket,
};

/// A text that is sent and may not be found again.
const MESSAGE: &str = "a-message-that-is-nobodys-business";
/// A token that no sandbox knows.
const STRANGER: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB";

/// Calls an operation in every framing, over both doors and with the token in every place.
fn call_everywhere(daemon: &Daemon, entry: &Entry, token: &str, channel: &str) -> Vec<Value> {
    let call = |token: Option<&str>| {
        let params = params(entry, token, channel, MESSAGE);
        json!({"jsonrpc": "2.0", "id": 1, "method": entry.name, "params": params})
    };
    let (own, bare) = (call(Some(token)), call(None));
    let mut notification = own.clone();
    notification.as_object_mut().unwrap().remove("id");
    let mut by_position = own.clone();
    by_position["params"] = json!([token, channel, MESSAGE]);
    let header = format!("Bot {token}");
    let authorization = [("authorization", header.as_str())];
    let headers = [("content-type", "application/json"), authorization[0]];
    let mut answers = vec![
        daemon.lines().ask(&own),
        Lines::tcp(daemon.tcp).ask(&own),
        daemon.lines().ask(&json!([own, bare, by_position])),
        daemon.post(&[], &own).json(),
        daemon.post(&authorization, &bare).json(),
        Client::plain(daemon.tcp)
            .send("POST", "/", &headers, bare.to_string().as_bytes())
            .json(),
        Socket::connect(daemon).ask(&own.to_string()),
        Socket::connect_with(daemon, &authorization).ask(&bare.to_string()),
    ];
    answers.extend(daemon.lines().exchange(notification.to_string().as_bytes()));
    answers
}

/// Calls everything, and holds that no answer tells what it should not. Gives the names of what was
/// done.
fn call_everything(daemon: &Daemon, token: &str, channel: &str) -> BTreeSet<&'static str> {
    let mut done = BTreeSet::new();
    for entry in TABLE {
        for answer in call_everywhere(daemon, entry, token, channel) {
            if answer["result"].is_object() {
                done.insert(entry.name);
            }
            assert_holds_none(&answer.to_string(), &[token, MESSAGE]);
        }
        let Some(tool) = entry.tool else { continue };
        let arguments = params(entry, None, channel, MESSAGE);
        let call = mcp::request(1, "tools/call", &mcp::tool(tool.name, &arguments));
        let answer = mcp::ask(&mut daemon.http(), "/mcp", token, &call);
        assert_holds_none(&answer.to_string(), &[token, MESSAGE]);
    }
    let figures = daemon.http().send("GET", "/metrics", &[], b"").body;
    assert_holds_none(&String::from_utf8(figures).unwrap(), &[token, MESSAGE]);
    done
}

/// Sends what goes wrong before a call is one: broken texts, wrong types, unknown names.
fn send_mistakes(daemon: &Daemon, token: &str) {
    for wrong in [
        format!("{{\"discord_token\":\"{token}\n"),
        format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{token}\",\"method\":\"{token}\"}}"),
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health\",\"params\":{{\"{token}\":1}}}}"
        ),
        format!("{token}\n"),
        format!("[[\"{token}\"],{{\"id\":{{\"{token}\":1}}}},\"{token}\"]"),
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"discord.sendMessage\",\"params\":\
             {{\"discord_token\":\"é{token}\",\"channel_id\":\"{token}\",\"content\":[\"{MESSAGE}\"]}}}}"
        ),
    ] {
        daemon.lines().exchange(wrong.as_bytes());
        let mut socket = Socket::connect(daemon);
        socket.send(&wrong);
        socket.close();
        let headers = [
            ("content-type", "application/json"),
            ("traceparent", token),
            ("x-token", token),
        ];
        daemon.http().send(
            "POST",
            &format!("/?token={token}"),
            &headers,
            wrong.as_bytes(),
        );
    }
    for wrong in [
        mcp::legacy(1, "tools/call", &mcp::tool(token, &json!({token: token}))),
        mcp::legacy(1, token, &json!({})),
        mcp::legacy(1, "tools/list", &json!({"cursor": token})),
        mcp::tool("discord_token", &json!({"discord_token": token})),
    ] {
        let body = wrong.to_string();
        let headers = [("authorization", token), ("mcp-protocol-version", token)];
        mcp::post(&mut daemon.http(), "/mcp", &[], body.as_bytes());
        mcp::post(&mut daemon.http(), "/mcp", &headers, body.as_bytes());
        let headers = [("mcp-method", token), ("traceparent", token)];
        mcp::post(&mut daemon.http(), "/", &headers, body.as_bytes());
    }
}

fn assert_silent(log: &str, secrets: &[&str]) {
    // The log must be one, or finding nothing in it proves nothing.
    assert!(log.contains("DEBUG") && log.contains("ready"), "{log}");
    assert_holds_none(log, secrets);
}

fn assert_holds_none(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret), "found {secret:.8}… in {text}");
    }
}

const TRACE: [(&str, &str); 2] = [("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];
/// With little time for each call.
const TRACE_IN_HASTE: [(&str, &str); 3] = [
    TRACE[0],
    TRACE[1],
    ("DISCORDD_LIMITS__CALL_TIMEOUT", "500ms"),
];

#[test]
fn no_log_holds_a_token_or_a_message_when_calls_succeed_or_are_refused() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &TRACE);
    let token = sandbox.token(0);
    for channel in [
        sandbox.channel("general"),
        sandbox.channel("read-only"),
        "1",
    ] {
        let done = call_everything(&daemon, token, channel);
        let all = done.len() == TABLE.len();
        assert_eq!(all, channel == sandbox.channel("general"), "only {done:?}");
        call_everything(&daemon, STRANGER, channel);
    }
    send_mistakes(&daemon, token);
    send_mistakes(&daemon, STRANGER);
    assert_silent(&daemon.stop(), &[token, STRANGER, MESSAGE]);
}

#[test]
fn no_log_holds_a_token_or_a_message_when_the_far_side_fails() {
    let echo = format!("{{\"code\":1,\"message\":\"{STRANGER} {MESSAGE}\"}}");
    let upstreams = [
        Upstream::answering(http("400 Bad Request", "", &echo)),
        Upstream::answering(http("500 Internal Server Error", "", &echo)),
        Upstream::answering(http("429 Too Many Requests", "retry-after: 1\r\n", &echo)),
        Upstream::answering(http("200 OK", "", &echo)),
        Upstream::answering(format!(
            "HTTP/1.1 400 {STRANGER}\r\n{STRANGER}: {MESSAGE}\r\n\r\n"
        )),
        Upstream::answering(format!("{STRANGER} {MESSAGE}")),
        Upstream::answering(""),
    ];
    thread::scope(|scope| {
        for upstream in upstreams {
            scope.spawn(move || {
                let daemon = Daemon::start(&upstream.base_url(), &TRACE_IN_HASTE);
                for entry in TABLE {
                    call_everywhere(&daemon, entry, STRANGER, "1");
                }
                assert!(upstream.requests() > 0);
                assert_silent(&daemon.stop(), &[STRANGER, MESSAGE]);
            });
        }
    });
}

#[test]
fn no_log_and_no_answer_hold_a_token_or_a_message_whatever_goes_wrong() {
    thread::scope(|scope| {
        for fault in FAULTS {
            scope.spawn(move || {
                let sandbox = SandboxProcess::start(&[]);
                let base_url = format!("http://{}", sandbox.line.http);
                let daemon = Daemon::start(&base_url, &TRACE_IN_HASTE);
                let (token, channel) = (sandbox.token(0), sandbox.channel("general"));
                sandbox.fault_all(fault);
                call_everything(&daemon, token, channel);
                assert!(sandbox.stats().requests > 0, "{fault}");
                assert_silent(&daemon.stop(), &[token, MESSAGE]);
            });
        }
    });
}

#[test]
fn no_log_and_no_answer_hold_a_token_or_a_message_when_there_is_no_way_to_discord() {
    let sandbox = SandboxProcess::start(&["--tls", "127.0.0.1:0"]);
    let (plain, tls) = (sandbox.line.http, sandbox.line.tls.unwrap().port());
    let base_urls = [
        "http://127.0.0.1:9".to_owned(),
        "http://discord.invalid".to_owned(),
        // Under a certificate that nobody vouches for, and without TLS where TLS is wanted.
        format!("https://localhost:{tls}"),
        format!("https://{plain}"),
    ];
    let variables = [TRACE[0], TRACE[1], ("DISCORDD_DISCORD__ATTEMPTS", "2")];
    thread::scope(|scope| {
        for base_url in base_urls {
            scope.spawn(move || {
                let daemon = Daemon::start(&base_url, &variables);
                assert!(call_everything(&daemon, STRANGER, "1").len() < TABLE.len());
                let call = json!([STRANGER, 1, MESSAGE]);
                let refused: Value = daemon.call("discord.sendMessage", &call);
                assert_eq!(refused["error"]["code"], 503);
                assert_silent(&daemon.stop(), &[STRANGER, MESSAGE]);
            });
        }
    });
}

/// Calls that are made for each format of the log.
const CALLS: u64 = 100;

/// Makes calls of bots of their own, in every framing and with the token in every place.
fn call_a_hundred_times(daemon: &Logged, channel: &str) {
    let (mut lines, mut http) = (daemon.lines(), daemon.http());
    let json = ("content-type", "application/json");
    for number in 0..CALLS {
        let mut call = many::call(number, channel);
        let authorization = format!("Bot {}", many::token(number));
        let answer = match number % 4 {
            0 => lines.ask(&call),
            1 => {
                let body = call.to_string();
                http.send("POST", "/", &[json], body.as_bytes()).json()
            }
            2 => {
                let params = call["params"].as_object_mut().unwrap();
                params.remove("discord_token");
                let headers = [json, ("authorization", authorization.as_str())];
                let body = call["params"].to_string();
                http.send("POST", "/messages", &headers, body.as_bytes())
                    .json()
            }
            _ => {
                let params = call["params"].as_object_mut().unwrap();
                params.remove("discord_token");
                let tool = mcp::tool("send_message", &call["params"]);
                let call = mcp::request(number, "tools/call", &tool);
                mcp::ask(&mut http, "/mcp", &many::token(number), &call)
            }
        };
        let answer = answer.to_string();
        let bot = (many::FIRST_BOT + number).to_string();
        assert!(
            answer.contains("message_id") && answer.contains(&bot),
            "{answer}"
        );
    }
}

#[test]
fn the_log_of_a_hundred_calls_holds_no_token_in_any_format() {
    let sandbox = SandboxProcess::start(&["--any-token"]);
    let base_url = format!("http://{}", sandbox.line.http);
    for format in ["journald", "json", "text"] {
        let daemon = Logged::start(format, &base_url, &TRACE);
        call_a_hundred_times(&daemon, sandbox.channel("general"));
        let (entries, stderr) = daemon.stop();
        let entries = entries.iter().map(|it| String::from_utf8_lossy(it));
        let log = entries.collect::<String>() + &stderr;
        // It tells of every call and whose it is, or finding nothing in it proves nothing.
        let told = match format {
            "journald" => "DISCORDD_TARGET=discordd::call",
            "json" => r#""target":"discordd::call""#,
            _ => "discordd::call: call outcome=ok",
        };
        let told = log.matches(told).count();
        assert_eq!(u64::try_from(told).unwrap(), CALLS, "{format}: {log}");
        let (begin, end) = many::TOKEN_PARTS;
        assert_holds_none(&log, &[begin, end, many::TEXT]);
        for number in 0..CALLS {
            assert!(
                log.contains(&(many::FIRST_BOT + number).to_string()),
                "{format}"
            );
            let token = many::token(number);
            let (first, _) = token.split_once('.').unwrap();
            assert_holds_none(&log, &[&token, first]);
        }
    }
}
