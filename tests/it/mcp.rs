//! MCP over HTTP: on every door, in every revision that is still in use.
//!
//! After a change of the tools that is wanted, `DISCORDD_REWRITE=1 cargo test --test it mcp` writes
//! their snapshot anew; its diff is then reviewed as a change of the interface.

use std::{fs, path::Path, thread};

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    http::{Answer, Client},
    mcp::{HEADERS, MODERN, ask, legacy, post, request, tool},
    sandbox::SandboxProcess,
    upstream::Upstream,
};

const NOWHERE: &str = "http://127.0.0.1:9";
/// Made up: no bot has it.
const STRANGER: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB";
/// Calls of each of two clients at once.
const CALLS: usize = 1000;

fn with_sandbox() -> (SandboxProcess, Daemon) {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    (sandbox, daemon)
}

#[test]
fn the_tools_are_as_they_were_reviewed() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let list = request(1, "tools/list", &json!({}));
    let listed = ask(&mut daemon.http(), "/mcp", "t", &list);
    let tools = serde_json::to_string_pretty(&listed["result"]["tools"]).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/mcp_tools.json");
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of this test, not of the program"
    )]
    if std::env::var_os("DISCORDD_REWRITE").is_some() {
        fs::write(&file, &tools).unwrap();
    }
    assert_eq!(
        tools,
        fs::read_to_string(&file).unwrap_or_default(),
        "if it is wanted, run with DISCORDD_REWRITE=1"
    );
    assert_eq!(listed["result"]["cacheScope"], "public");
    assert!(listed["result"]["ttlMs"].is_u64());
    assert_eq!(listed["result"].get("nextCursor"), None);
}

#[test]
fn a_message_is_posted_under_the_bot_of_the_header_on_every_door_and_in_every_revision() {
    let (sandbox, daemon) = with_sandbox();
    let channel = sandbox.channel("general");
    let mut count = 0;
    let mut content = || {
        count += 1;
        count.to_string()
    };
    for path in ["/mcp", "/"] {
        for (index, mut client) in [daemon.http(), Client::plain(daemon.tcp)]
            .into_iter()
            .enumerate()
        {
            let (token, bot) = (sandbox.token(index), &sandbox.line.bots[index]);
            let arguments = json!({"channel_id": channel, "content": content()});
            let call = request(1, "tools/call", &tool("send_message", &arguments));
            let sent = &ask(&mut client, path, token, &call)["result"];
            assert_eq!(sent["structuredContent"]["bot_id"], bot.id, "{sent}");
            assert_eq!(sent["isError"], false);
            assert_eq!(sent["resultType"], "complete");
            let texts = sent["content"].as_array().unwrap();
            assert!(texts[0]["text"].as_str().unwrap().contains(&bot.name));
            let text = texts[1]["text"].as_str().unwrap();
            let json: Value = serde_json::from_str(text).unwrap();
            assert_eq!(json, sent["structuredContent"]);
            let authorization = format!("Bot {token}");
            for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
                let params = json!({"protocolVersion": version, "capabilities": {},
                    "clientInfo": {"name": "tests", "version": "1"}});
                let opening = legacy(1, "initialize", &params).to_string();
                let opened = post(&mut client, path, &[], opening.as_bytes()).json();
                assert_eq!(opened["result"]["protocolVersion"], version, "{opened}");
                let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
                let accepted = post(&mut client, path, &[], ready.to_string().as_bytes());
                assert_eq!((accepted.status, accepted.body.as_slice()), (202, &b""[..]));
                let arguments = json!({"channel_id": channel, "content": content()});
                let call = legacy(2, "tools/call", &tool("send_message", &arguments));
                let headers = [
                    ("authorization", authorization.as_str()),
                    ("mcp-protocol-version", version),
                ];
                let sent = post(&mut client, path, &headers, call.to_string().as_bytes()).json();
                let sent = &sent["result"];
                assert_eq!(sent["structuredContent"]["bot_id"], bot.id, "{sent}");
                assert_eq!(sent.get("resultType"), None);
            }
        }
    }
    let posted = sandbox.texts("general");
    assert_eq!(posted.len(), 2 * 2 * (1 + 4));
    assert!(
        posted
            .into_iter()
            .eq((1..=20).map(|it| json!(it.to_string())))
    );
}

#[test]
fn an_error_is_the_one_of_json_rpc_and_says_so_in_words() {
    let sandbox = SandboxProcess::start(&[]);
    // Each call is made twice, and must be refused in the same way.
    let unguarded = [("DISCORDD_DISCORD__GUARD", "false")];
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &unguarded);
    let cases = [
        (STRANGER, "list_channels", "discord.listChannels", json!({})),
        (
            sandbox.token(0),
            "send_message",
            "discord.sendMessage",
            json!({"channel_id": "1", "content": "x", "nonce": "n"}),
        ),
        (
            sandbox.token(0),
            "send_message",
            "discord.sendMessage",
            json!({"channel_id": "1", "content": 5}),
        ),
        (
            sandbox.token(0),
            "test_message",
            "discord.test",
            json!({"dry_run": true, "timeout_ms": 0}),
        ),
    ];
    for (token, name, method, arguments) in cases {
        let call = request(1, "tools/call", &tool(name, &arguments));
        let refused = &ask(&mut daemon.http(), "/mcp", token, &call)["result"];
        let mut params = arguments;
        params["discord_token"] = json!(token);
        let error = &daemon.call(method, &params)["error"];
        assert_eq!(refused["isError"], true, "{refused}");
        assert_eq!(&refused["structuredContent"], error);
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(error["message"].as_str().unwrap()), "{text}");
        assert!(text.contains("delivered: no"), "{text}");
    }
}

#[test]
fn the_token_is_in_the_header_or_nowhere() {
    let (sandbox, daemon) = with_sandbox();
    let token = sandbox.token(0);
    let call = legacy(1, "tools/call", &tool("list_channels", &json!({})));
    for (authorization, words) in [
        (None, "in the header `Authorization: Bot <token>`"),
        (Some(format!("Bearer {token}")), "not a Bearer token"),
        (Some("Bot a b".to_owned()), "visible ASCII"),
    ] {
        let header = authorization.as_deref().map(|it| ("authorization", it));
        let headers: Vec<_> = header.into_iter().collect();
        let answer = post(
            &mut daemon.http(),
            "/mcp",
            &headers,
            call.to_string().as_bytes(),
        );
        assert_eq!(answer.status, 200);
        let result = &answer.json()["result"];
        assert_eq!(result["structuredContent"]["data"]["path"], "discord_token");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(words), "{text}");
    }
    let arguments = json!({"discord_token": token});
    let call = request(1, "tools/call", &tool("list_channels", &arguments));
    let refused = ask(&mut daemon.http(), "/mcp", token, &call);
    let error = &refused["result"]["structuredContent"];
    assert_eq!(error["message"], "discord_token: there is no such param");
}

/// Headers, a body, and what it is answered with: a status, the error's id and code.
type Malformed = (
    &'static [(&'static str, &'static str)],
    Value,
    u16,
    Value,
    i32,
);

/// What every request of the revision without a handshake has in its head.
const LIST: [(&str, &str); 2] = [
    ("mcp-protocol-version", MODERN),
    ("mcp-method", "tools/list"),
];

fn malformed() -> Vec<Malformed> {
    let list = request(1, "tools/list", &json!({}));
    let with_meta = |name: &str, value: Value| {
        let mut list = list.clone();
        list["params"]["_meta"][format!("io.modelcontextprotocol/{name}")] = value;
        list
    };
    let bare = |method: &str, params: Value| legacy(1, method, &params);
    vec![
        // What is no message.
        (&[], json!("nonsense"), 400, Value::Null, -32600),
        (&[], json!([]), 400, Value::Null, -32600),
        (&[], json!([list]), 400, Value::Null, -32600),
        (
            &[],
            json!({"jsonrpc": "1.0", "id": 7, "method": "ping"}),
            400,
            json!(7),
            -32600,
        ),
        (
            &[],
            json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
            400,
            Value::Null,
            -32600,
        ),
        (
            &[],
            json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}),
            400,
            Value::Null,
            -32600,
        ),
        (
            &[],
            json!({"jsonrpc": "2.0", "id": "a", "method": 5}),
            400,
            json!("a"),
            -32600,
        ),
        (
            &[],
            json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
            400,
            Value::Null,
            -32600,
        ),
        // What a request of 2026-07-28 must have.
        (&LIST, bare("tools/list", json!({})), 400, json!(1), -32602),
        (
            &LIST,
            with_meta("protocolVersion", json!(5)),
            400,
            json!(1),
            -32602,
        ),
        (
            &LIST,
            with_meta("clientCapabilities", json!("none")),
            400,
            json!(1),
            -32602,
        ),
        (&[], list.clone(), 400, json!(1), -32020),
        (&LIST[..1], list.clone(), 400, json!(1), -32020),
        (
            &[LIST[0], ("mcp-method", "tools/call")],
            list.clone(),
            400,
            json!(1),
            -32020,
        ),
        (
            &[
                ("mcp-protocol-version", "2025-11-25"),
                ("mcp-method", "tools/list"),
            ],
            list.clone(),
            400,
            json!(1),
            -32020,
        ),
        (
            &[
                LIST[0],
                ("mcp-method", "tools/call"),
                ("mcp-name", "list_channels"),
            ],
            request(1, "tools/call", &tool("send_message", &json!({}))),
            400,
            json!(1),
            -32020,
        ),
        (
            &[
                ("mcp-protocol-version", "2099-01-01"),
                ("mcp-method", "tools/list"),
            ],
            with_meta("protocolVersion", json!("2099-01-01")),
            400,
            json!(1),
            -32022,
        ),
        (
            &[("mcp-protocol-version", "2099-01-01")],
            bare("tools/list", json!({})),
            400,
            json!(1),
            -32022,
        ),
        // Params that are not those of the method.
        (
            &LIST,
            request(1, "tools/list", &json!({"cursor": "2"})),
            200,
            json!(1),
            -32602,
        ),
        (
            &[],
            bare("tools/list", json!({"cursor": 5})),
            400,
            json!(1),
            -32602,
        ),
        (
            &[],
            bare("tools/call", json!({"name": 5})),
            200,
            json!(1),
            -32602,
        ),
        (&[], bare("tools/call", json!({})), 200, json!(1), -32602),
        (
            &[],
            bare(
                "tools/call",
                json!({"name": "list_channels", "arguments": []}),
            ),
            200,
            json!(1),
            -32602,
        ),
        (
            &[],
            bare("tools/call", tool("sendMessage", &json!({}))),
            200,
            json!(1),
            -32602,
        ),
        (
            &[],
            bare("tools/call", tool("health", &json!({}))),
            200,
            json!(1),
            -32602,
        ),
        (
            &[],
            bare("initialize", json!({"protocolVersion": 5})),
            200,
            json!(1),
            -32602,
        ),
        // Methods that there are not.
        (&[], bare("prompts/list", json!({})), 200, json!(1), -32601),
        (
            &[],
            bare("resources/list", json!({})),
            200,
            json!(1),
            -32601,
        ),
        (
            &[],
            bare("completion/complete", json!({})),
            200,
            json!(1),
            -32601,
        ),
        (
            &[],
            bare("logging/setLevel", json!({"level": "info"})),
            200,
            json!(1),
            -32601,
        ),
        (
            &[],
            bare("discord.sendMessage", json!({})),
            200,
            json!(1),
            -32601,
        ),
        (
            &[LIST[0], ("mcp-method", "ping")],
            request(1, "ping", &json!({})),
            404,
            json!(1),
            -32601,
        ),
        (
            &[LIST[0], ("mcp-method", "subscriptions/listen")],
            request(1, "subscriptions/listen", &json!({"notifications": {}})),
            404,
            json!(1),
            -32601,
        ),
    ]
}

#[test]
fn malformed_input_gets_the_protocols_answer_and_the_next_request_works() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let mut client = daemon.http();
    let check = |answer: &Answer, status, id: &Value, code, about: &str| {
        assert_eq!(answer.status, status, "{about}: {answer:?}");
        let json = answer.json();
        assert_eq!(json["error"]["code"], code, "{about}: {json}");
        let id = Some(id).filter(|id| !id.is_null());
        assert_eq!(json.get("id"), id, "{about}: {json}");
    };
    let works = |client: &mut Client| {
        let list = request(9, "tools/list", &json!({}));
        let tools = ask(client, "/mcp", "t", &list);
        assert!(tools["result"]["tools"].is_array(), "{tools}");
    };
    for bytes in [
        &b""[..],
        b"{",
        b"\xff\xfe",
        b"{\"jsonrpc\":\"2.0\"",
        &[b'['; 5000],
    ] {
        let answer = post(&mut client, "/mcp", &[], bytes);
        let about = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
        check(&answer, 400, &Value::Null, -32700, &about);
        works(&mut client);
    }
    for (headers, body, status, id, code) in malformed() {
        let body = body.to_string();
        let answer = post(&mut client, "/mcp", headers, body.as_bytes());
        check(&answer, status, &id, code, &body);
        works(&mut client);
    }
}

#[test]
fn what_is_no_post_of_a_client_of_mcp_is_refused_by_its_status() {
    let daemon = Daemon::start(NOWHERE, &[("DISCORDD_LIMITS__REQUEST_BYTES", "2KiB")]);
    // Where a body is not read the connection ends.
    let send = |method, path, headers: &[(&str, &str)], body: &[u8]| {
        daemon.http().send(method, path, headers, body)
    };
    let list = legacy(1, "tools/list", &json!({})).to_string();
    for (method, path) in [
        ("GET", "/mcp"),
        ("DELETE", "/mcp"),
        ("PUT", "/mcp"),
        ("GET", "/"),
    ] {
        let answer = send(method, path, &HEADERS[..1], b"");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method} {path}");
    }
    let of_page = [HEADERS[0], HEADERS[1], ("origin", "http://localhost")];
    for path in ["/mcp", "/"] {
        let answer = send("POST", path, &of_page, list.as_bytes());
        assert_eq!(answer.status, 403, "{path}");
        let long = "x".repeat(3000);
        let answer = send("POST", path, &HEADERS, long.as_bytes());
        assert_eq!(answer.status, 413, "{path}");
    }
    for (headers, status) in [
        (&HEADERS[..1], 415),
        (&HEADERS[1..], 406),
        (&[HEADERS[1], ("accept", "application/json")], 406),
        // Whatever the client calls the daemon, and sessions that nobody gave out.
        (
            &[HEADERS[0], HEADERS[1], ("mcp-session-id", "made-up")],
            200,
        ),
    ] {
        let answer = send("POST", "/mcp", headers, list.as_bytes());
        assert_eq!(answer.status, status, "{headers:?}");
    }
    for host in ["example.com", "/run/discordd.sock", "", "127.0.0.1:1"] {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {host}\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{list}",
            list.len()
        );
        let mut lines = daemon.lines();
        lines.send(head.as_bytes());
        let answer = lines.rest_of_text();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
}

#[test]
fn a_call_that_waits_out_a_limit_tells_so_in_a_stream() {
    let (sandbox, daemon) = with_sandbox();
    let limit = json!({"do": {"rate_limit": {"scope": "user", "retry_after": 0.3}}});
    sandbox.fault(&limit);
    let arguments = json!({"channel_id": sandbox.channel("general"), "content": "hello"});
    let mut call = request(1, "tools/call", &tool("send_message", &arguments));
    call["params"]["_meta"]["progressToken"] = json!("p");
    let authorization = format!("Bot {}", sandbox.token(0));
    let headers = [
        ("authorization", authorization.as_str()),
        ("mcp-protocol-version", MODERN),
        ("mcp-method", "tools/call"),
        ("mcp-name", "send_message"),
    ];
    let body = call.to_string();
    let answer = post(&mut daemon.http(), "/mcp", &headers, body.as_bytes());
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = String::from_utf8(answer.body).unwrap();
    let data = events.lines().filter_map(|it| it.strip_prefix("data:"));
    let data: Vec<Value> = data
        .filter_map(|it| serde_json::from_str(it).ok())
        .collect();
    assert_eq!(data[0]["method"], "notifications/progress", "{events}");
    assert_eq!(data[0]["params"]["progressToken"], "p");
    assert_eq!(
        data[1]["result"]["structuredContent"]["success"], true,
        "{events}"
    );
    assert_eq!((data.len(), sandbox.stats().messages), (2, 1));
}

#[test]
fn json_rpc_stays_json_rpc_where_no_stream_is_taken() {
    let daemon = Daemon::start(NOWHERE, &[]);
    let list = legacy(1, "tools/list", &json!({}));
    let answer = daemon.post(&[("accept", "application/json, */*")], &list);
    assert_eq!(answer.json()["error"]["code"], -32601);
    let health = legacy(1, "health", &json!({}));
    let answer = daemon.post(&[("accept", "*/*")], &health);
    assert_eq!(answer.json()["result"]["status"], "healthy");
}

#[test]
fn two_clients_at_once_post_each_under_its_own_bot() {
    let sandbox = SandboxProcess::start(&["--history", "2000"]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let channel = sandbox.channel("general");
    let clients = [daemon.http(), Client::plain(daemon.tcp)];
    thread::scope(|scope| {
        for (index, mut client) in clients.into_iter().enumerate() {
            let bot = &sandbox.line.bots[index];
            scope.spawn(move || {
                for count in 0..CALLS {
                    let content = format!("{} {count}", bot.id);
                    let arguments = json!({"channel_id": channel, "content": content});
                    let call = request(7, "tools/call", &tool("send_message", &arguments));
                    let path = if count % 2 == 0 { "/mcp" } else { "/" };
                    let sent = ask(&mut client, path, &bot.token, &call);
                    let reply = &sent["result"]["structuredContent"];
                    assert_eq!(reply["bot_id"], bot.id, "{sent}");
                }
            });
        }
    });
    let messages = sandbox.messages("general");
    assert_eq!(messages.len(), 2 * CALLS);
    for message in messages {
        let content = message["content"].as_str().unwrap();
        let author = message["author"]["id"].as_str().unwrap();
        assert_eq!(content.split(' ').next(), Some(author), "{message}");
    }
}

#[test]
fn calls_go_the_way_of_every_call_and_have_its_limits() {
    let (upstream, gate) = Upstream::gated();
    let variables = [("DISCORDD_LIMITS__CALLS", "1")];
    let daemon = Daemon::start(&upstream.base_url(), &variables);
    let arguments = json!({"channel_id": "1", "content": "x"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    let list = request(2, "tools/call", &tool("list_channels", &json!({})));
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&mut daemon.http(), "/mcp", STRANGER, &call));
        gate.wait();
        let refused = ask(&mut daemon.http(), "/mcp", STRANGER, &list);
        let error = &refused["result"]["structuredContent"];
        assert_eq!(error["code"], 503, "{refused}");
        let health = daemon.http().send("GET", "/health", &[], b"").json();
        assert_eq!(health["in_flight"], 1);
        // The daemon stops: what was begun is answered.
        daemon.signal(rustix::process::Signal::TERM);
        daemon.wait_for_log("stopping");
        gate.open();
        let answered = first.join().unwrap();
        assert_eq!(answered["result"]["structuredContent"]["code"], 404);
    });
    assert_eq!(daemon.wait().0.code(), Some(0));
}
