//! Pages in browsers: what one of anybody's may send does nothing, and one that the settings name may
//! call and is told so.

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    http::{Answer, Client},
    sandbox::SandboxProcess,
};

const GOOD: (&str, &str) = ("origin", "https://panel.example");
const EVIL: (&str, &str) = ("origin", "https://evil.example");
const JSON: (&str, &str) = ("content-type", "application/json");
const AGENT: (&str, &str) = ("accept", "application/json, text/event-stream");

fn start() -> (SandboxProcess, Daemon) {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let daemon = Daemon::start(&base_url, &[("DISCORDD_LISTEN__ALLOWED_ORIGINS", GOOD.1)]);
    (sandbox, daemon)
}

fn send(sandbox: &SandboxProcess) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
        "params": [sandbox.token(0), sandbox.channel("general"), "hi"]})
}

/// The headers that let a page read an answer.
fn told(answer: &Answer) -> Vec<&str> {
    let headers = answer.headers.iter();
    let of_pages = headers.filter(|(name, _)| name.starts_with("access-control-"));
    of_pages.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn what_any_page_may_send_does_nothing() {
    let (sandbox, daemon) = start();
    let call = send(&sandbox).to_string();
    let params = json!({"discord_token": sandbox.token(0), "content": "hi",
        "channel_id": sandbox.channel("general")});
    let params = params.to_string();
    // What a form sends: the name before the sign, the rest behind it.
    let form = format!("{}={}", &call[..20], &call[20..]);
    let before = sandbox.stats();
    for kind in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let kind = ("content-type", kind);
        for (path, body) in [
            ("/", &call),
            ("/", &form),
            ("/mcp", &call),
            ("/messages", &params),
        ] {
            let ask = |headers: &[(&str, &str)]| {
                let mut client = Client::plain(daemon.tcp);
                let answer = client.send("POST", path, headers, body.as_bytes());
                assert_eq!(told(&answer), [""; 0], "{path}");
                answer.status
            };
            assert_eq!(ask(&[kind, AGENT, EVIL]), 403, "{path} {kind:?}");
            assert_eq!(
                ask(&[kind, AGENT, ("origin", "null")]),
                403,
                "{path} {kind:?}"
            );
            assert_eq!(ask(&[kind, AGENT]), 415, "{path} {kind:?}");
            assert_eq!(ask(&[kind]), 415, "{path} {kind:?}");
        }
    }
    assert_eq!(sandbox.stats(), before);
}

#[test]
fn a_page_that_is_not_named_reaches_no_surface() {
    let (sandbox, daemon) = start();
    let before = sandbox.stats();
    let call = send(&sandbox).to_string();
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for stranger in [EVIL, ("host", "evil.example")] {
        for (method, path, headers) in [
            ("POST", "/", &[JSON][..]),
            ("POST", "/mcp", &[JSON, AGENT]),
            ("POST", "/messages", &[JSON]),
            ("GET", "/", &upgrade),
            ("GET", "/health", &[]),
            ("GET", "/metrics", &[]),
            ("OPTIONS", "/", &[("access-control-request-method", "POST")]),
        ] {
            let headers = [headers, &[stranger]].concat();
            let body = if method == "POST" { call.as_str() } else { "" };
            let mut client = Client::plain(daemon.tcp);
            let answer = client.send(method, path, &headers, body.as_bytes());
            assert_eq!(answer.status, 403, "{stranger:?} {method} {path}");
            assert_eq!(told(&answer), [""; 0], "{stranger:?} {method} {path}");
        }
    }
    assert_eq!(sandbox.stats(), before);
}

#[test]
fn a_page_that_is_named_may_call_and_its_browser_is_told() {
    let (sandbox, daemon) = start();
    let mut client = Client::plain(daemon.tcp);
    for path in ["/", "/mcp", "/messages", "/health"] {
        let asked = ("access-control-request-method", "POST");
        let answer = client.send("OPTIONS", path, &[GOOD, asked], b"");
        assert_eq!(answer.status, 204, "{path}");
        let header = |name| answer.header(name).unwrap_or_default();
        assert_eq!(header("access-control-allow-origin"), GOOD.1, "{path}");
        assert_eq!(header("access-control-allow-methods"), "GET, POST");
        let headers = header("access-control-allow-headers");
        for needed in [
            "authorization",
            "content-type",
            "discordd-secret",
            "mcp-method",
        ] {
            assert!(headers.split(", ").any(|it| it == needed), "{headers}");
        }
        assert_eq!(header("vary"), "origin");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let call = send(&sandbox).to_string();
    let answer = client.send("POST", "/", &[JSON, GOOD], call.as_bytes());
    assert_eq!(answer.json()["result"]["success"], true);
    assert_eq!(answer.header("access-control-allow-origin"), Some(GOOD.1));
    // It is to know what went wrong, too.
    let answer = client.send("POST", "/messages", &[JSON, GOOD], b"{");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-allow-origin"), Some(GOOD.1));
    // It may read too why the host is none to be called.
    let headers = [JSON, GOOD, ("host", "evil.example")];
    let answer = Client::plain(daemon.tcp).send("POST", "/", &headers, call.as_bytes());
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("access-control-allow-origin"), Some(GOOD.1));
    // Nobody else is told anything, where no page asks.
    let answer = client.send("GET", "/health", &[], b"");
    assert_eq!((answer.status, told(&answer).len()), (200, 0));
    let answer = client.send("OPTIONS", "/", &[], b"");
    assert_eq!((answer.status, told(&answer).len()), (405, 0));
}
