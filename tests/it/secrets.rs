//! Tokens and messages: in no log at any level, whatever happens to the call.

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    mcp,
    sandbox::SandboxProcess,
    upstream::{Upstream, http},
};

/// A text that is sent and may not be found again.
const MESSAGE: &str = "a-message-that-is-nobodys-business";
/// A token that no sandbox knows.
const STRANGER: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB";

/// Sends in every framing, with a token that `token` makes of a number.
fn send_everywhere(daemon: &Daemon, token: &str, channel: &str) {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
        "params": {"discord_token": token, "channel_id": channel, "content": MESSAGE}});
    daemon.lines().ask(&call);
    daemon.lines().ask(&json!([call, call]));
    daemon.post(&[], &call);
    let header = format!("Bot {token}");
    let bare = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
        "params": {"channel_id": channel, "content": MESSAGE}});
    daemon.post(&[("authorization", &header)], &bare);
    let arguments = json!({"channel_id": channel, "content": MESSAGE});
    let call = mcp::request(1, "tools/call", &mcp::tool("send_message", &arguments));
    mcp::ask(&mut daemon.http(), "/mcp", token, &call);
    for wrong in [
        mcp::legacy(1, "tools/call", &mcp::tool(token, &json!({token: token}))),
        mcp::legacy(1, token, &json!({})),
        mcp::legacy(1, "tools/list", &json!({"cursor": token})),
        mcp::tool("discord_token", &json!({"discord_token": token})),
    ] {
        let headers = [("authorization", token), ("mcp-protocol-version", token)];
        let body = wrong.to_string();
        mcp::post(&mut daemon.http(), "/mcp", &[], body.as_bytes());
        mcp::post(&mut daemon.http(), "/mcp", &headers, body.as_bytes());
        mcp::post(
            &mut daemon.http(),
            "/",
            &[("mcp-method", token)],
            body.as_bytes(),
        );
    }
    // What goes wrong before a call is one: broken texts, wrong types, unknown names.
    for wrong in [
        format!("{{\"discord_token\":\"{token}\n"),
        format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{token}\",\"method\":\"{token}\"}}"),
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health\",\"params\":{{\"{token}\":1}}}}"
        ),
        format!("{token}\n"),
    ] {
        daemon.lines().exchange(wrong.as_bytes());
        let headers = [("content-type", "application/json"), ("x-token", token)];
        daemon.http().send(
            "POST",
            &format!("/?token={token}"),
            &headers,
            wrong.as_bytes(),
        );
    }
}

fn assert_silent(log: &str, secrets: &[&str]) {
    // The log must be one, or finding nothing in it proves nothing.
    assert!(log.contains("DEBUG") && log.contains("ready"), "{log}");
    for secret in secrets {
        assert!(!log.contains(secret), "found {secret:.8}… in {log}");
    }
}

const TRACE: [(&str, &str); 2] = [("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];

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
        send_everywhere(&daemon, token, channel);
        send_everywhere(&daemon, STRANGER, channel);
    }
    let stats = sandbox.stats();
    assert!(stats.messages >= 4, "{stats:?}");
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
        Upstream::answering("nonsense"),
        Upstream::answering(""),
    ];
    for upstream in upstreams {
        let daemon = Daemon::start(&upstream.base_url(), &TRACE);
        send_everywhere(&daemon, STRANGER, "1");
        assert!(upstream.requests() > 0);
        assert_silent(&daemon.stop(), &[STRANGER, MESSAGE]);
    }
    let daemon = Daemon::start("http://127.0.0.1:9", &TRACE);
    send_everywhere(&daemon, STRANGER, "1");
    let refused: Value = daemon.call("discord.sendMessage", &json!([STRANGER, 1, MESSAGE]));
    assert_eq!(refused["error"]["code"], 503);
    assert_silent(&daemon.stop(), &[STRANGER, MESSAGE]);
}
