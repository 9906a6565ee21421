//! `discordd mcp`: an MCP server for one bot on standard input and output.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixListener,
    sync::{Mutex, mpsc},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Folder, run},
    mcp::{Server, legacy, request, tool},
    sandbox::SandboxProcess,
    upstream::{Upstream, http},
};

const NOWHERE: &str = "http://127.0.0.1:9";
/// The setting for where Discord is.
const BASE: &str = "DISCORDD_DISCORD__BASE_URL";
/// The setting for how long it may take to end.
const DRAIN: &str = "DISCORDD_LIMITS__DRAIN_TIMEOUT";

fn list() -> Value {
    request(9, "tools/list", &json!({}))
}

fn names(server: &mut Server) -> Vec<String> {
    let listed = server.ask(&list());
    let tools = listed["result"]["tools"].as_array().unwrap();
    let names = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_message_is_posted_without_a_daemon_in_either_era() {
    let sandbox = SandboxProcess::start(&[]);
    let base = format!("http://{}", sandbox.line.http);
    let channel = sandbox.channel("general");
    let variables = [(BASE, base.as_str()), ("DISCORD_TOKEN", sandbox.token(1))];
    let arguments = json!({"channel_id": channel, "content": "modern"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    let mut server = Server::start(&[], &variables);
    let sent = server.ask(&call);
    let reply = &sent["result"]["structuredContent"];
    assert_eq!(reply["bot_id"], sandbox.line.bots[1].id, "{sent}");
    let (rest, status) = server.end();
    assert_eq!((rest, status.code()), (vec![], Some(0)));

    let mut server = Server::start(&[], &variables);
    let params = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"}});
    let opened = server.ask(&legacy(1, "initialize", &params));
    assert_eq!(
        opened["result"]["protocolVersion"], "2025-06-18",
        "{opened}"
    );
    assert_eq!(opened["result"]["serverInfo"]["name"], "discordd");
    server.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let arguments = json!({"channel_id": channel, "content": "legacy"});
    let sent = server.ask(&legacy(2, "tools/call", &tool("send_message", &arguments)));
    assert_eq!(sent["result"]["isError"], false, "{sent}");
    assert_eq!(server.end().1.code(), Some(0));
    assert_eq!(sandbox.texts("general"), [json!("modern"), json!("legacy")]);
}

#[test]
fn it_ends_with_its_input_and_answers_what_was_asked_last() {
    let (upstream, gate) = Upstream::gated();
    let base = upstream.base_url();
    let variables = [(BASE, base.as_str()), ("DISCORD_TOKEN", "t")];
    let arguments = json!({"channel_id": "1", "content": "x"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    // Nobody asks anything; a last line without its end; a stop from outside.
    assert_eq!(Server::start(&[], &variables).end().1.code(), Some(0));
    let mut server = Server::start(&[], &variables);
    server.send(call.to_string().as_bytes());
    std::thread::scope(|scope| {
        let ended = scope.spawn(|| server.end());
        gate.wait();
        gate.open();
        let (rest, status) = ended.join().unwrap();
        assert_eq!(
            rest[0]["result"]["structuredContent"]["code"], 404,
            "{rest:?}"
        );
        assert_eq!((rest.len(), status.code()), (1, Some(0)));
    });
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut server = Server::start(&[], &variables);
        server.say(&call);
        gate.wait();
        server.signal(signal);
        gate.open();
        let (rest, status) = server.wait();
        assert_eq!(
            rest[0]["result"]["structuredContent"]["code"], 404,
            "{rest:?}"
        );
        assert_eq!(status.code(), Some(0));
    }
}

#[test]
fn what_is_answered_before_a_session_is_written_to_the_end() {
    let ping = legacy(1, "ping", &json!({}));
    for _ in 0..20 {
        let mut server = Server::start(&[], &[]);
        server.send(b"nonsense\n");
        let (rest, status) = server.end();
        assert_eq!((rest.len(), status.code()), (1, Some(0)), "{rest:?}");
        assert_eq!(rest[0]["error"]["code"], -32700, "{rest:?}");
        let mut server = Server::start(&[], &[]);
        server.send(format!("{ping}\n").repeat(5).as_bytes());
        let (rest, status) = server.end();
        assert_eq!((rest.len(), status.code()), (5, Some(0)), "{rest:?}");
    }
}

#[test]
fn an_output_that_nobody_reads_does_not_hold_its_end_up() {
    let cases = [
        (&[Signal::TERM][..], "1ms"),
        (&[Signal::TERM, Signal::INT], "1h"),
        (&[Signal::HUP, Signal::TERM], "1h"),
    ];
    for (signals, drain_timeout) in cases {
        let variables = [(DRAIN, drain_timeout)];
        let mut server = Server::start(&[], &variables);
        names(&mut server);
        // The answers are more than a pipe holds; the requests are not.
        for id in 0..60 {
            server.say(&request(id, "tools/list", &json!({})));
        }
        for signal in signals {
            server.signal(*signal);
        }
        assert_eq!(server.wait_unread().code(), Some(0), "{signals:?}");
    }
}

#[test]
fn it_ends_when_its_output_is_closed() {
    for before in [vec![], vec![list()]] {
        let mut server = Server::start(&[], &[]);
        for request in &before {
            server.ask(request);
        }
        server.close_output();
        server.say(&list());
        assert_eq!(server.wait_unread().code(), Some(0), "{before:?}");
    }
}

#[test]
fn a_broken_line_costs_itself_alone_and_nothing_of_it_is_carried_out() {
    let (upstream, _gate) = Upstream::gated();
    let base = upstream.base_url();
    let variables = [
        (BASE, base.as_str()),
        ("DISCORD_TOKEN", "t"),
        ("DISCORDD_LIMITS__REQUEST_BYTES", "4KiB"),
    ];
    let arguments = json!({"channel_id": "1", "content": "x"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    let long = "x".repeat(100 << 10);
    let mut server = Server::start(&[], &variables);
    for text in [
        "[",
        "{",
        "{\"a\":[\"b\",{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        &format!("{call} garbage"),
        &format!("{call}{call}"),
        &format!("garbage {call}"),
        &long,
        &format!("{call}{long}"),
        &format!("{{\"a\":\"{long}"),
    ] {
        // The next line is asked before anything is read.
        server.send(format!("{text}\n{}\n", list()).as_bytes());
        let start = &text[..text.len().min(60)];
        let refused = server.read();
        assert_eq!(refused["error"]["code"], -32700, "{start}: {refused}");
        let listed = server.read();
        assert_eq!(listed["id"], 9, "{start}: {listed}");
    }
    let (rest, status) = server.end();
    assert_eq!((rest, status.code()), (vec![], Some(0)));
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn an_id_that_is_under_way_is_not_taken_again() {
    let (upstream, gate) = Upstream::gated();
    let base = upstream.base_url();
    let mut server = Server::start(&[], &[(BASE, base.as_str()), ("DISCORD_TOKEN", "t")]);
    let arguments = json!({"channel_id": "1", "content": "x"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    server.send(format!("{call}\n{call}\n").as_bytes());
    let refused = server.read();
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(1), &json!(-32600)),
        "{refused}"
    );
    gate.wait();
    gate.open();
    let answer = server.read();
    assert_eq!(answer["result"]["structuredContent"]["code"], 404);
    assert_eq!(upstream.requests(), 1);
    // It was answered, and is free again.
    server.say(&call);
    gate.wait();
    gate.open();
    assert_eq!(server.read()["id"], 1);
    assert_eq!(server.end().0, Vec::<Value>::new());
}

#[test]
fn malformed_input_gets_the_protocols_answer_and_the_next_request_works() {
    let mut server = Server::start(&[], &[(BASE, NOWHERE)]);
    let silent = [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string(),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": 5}})
        .to_string(),
        json!({"jsonrpc": "2.0", "method": "made/up"}).to_string(),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}).to_string(),
        String::new(),
    ];
    let mut version = request(3, "tools/list", &json!({}));
    version["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2099-01-01");
    let answered = [
        ("nonsense".to_owned(), Value::Null, -32700),
        ("{\"a\":\"b".to_owned(), Value::Null, -32700),
        ("[".repeat(200), Value::Null, -32700),
        ("\u{fffd}{}".to_owned(), Value::Null, -32700),
        ("[]".to_owned(), Value::Null, -32600),
        (json!([list()]).to_string(), Value::Null, -32600),
        ("{}".to_owned(), Value::Null, -32600),
        (
            json!({"jsonrpc": "2.0", "id": null, "method": "ping"}).to_string(),
            Value::Null,
            -32600,
        ),
        (
            json!({"jsonrpc": "2.0", "id": "a", "method": 5}).to_string(),
            json!("a"),
            -32600,
        ),
        // Without `_meta`, when there was no handshake.
        (
            legacy(2, "tools/list", &json!({})).to_string(),
            json!(2),
            -32602,
        ),
        (version.to_string(), json!(3), -32022),
        (
            request(4, "tools/list", &json!({"cursor": "2"})).to_string(),
            json!(4),
            -32602,
        ),
        (
            request(5, "tools/call", &json!({"name": 5})).to_string(),
            json!(5),
            -32602,
        ),
        (
            request(6, "tools/call", &tool("health", &json!({}))).to_string(),
            json!(6),
            -32602,
        ),
        (
            request(7, "prompts/list", &json!({})).to_string(),
            json!(7),
            -32601,
        ),
        (request(8, "ping", &json!({})).to_string(), json!(8), -32601),
    ];
    // Before anything that opens a session, and after it.
    for _ in 0..2 {
        for text in &silent {
            server.send(format!("{text}\n").as_bytes());
        }
        for (text, id, code) in &answered {
            server.send(format!("{text}\n").as_bytes());
            let answer = server.read();
            assert_eq!(answer["error"]["code"], *code, "{text}: {answer}");
            // Left out where it is not known: MCP has no null there, and its clients take none.
            let id = Some(id).filter(|id| !id.is_null());
            assert_eq!(answer.get("id"), id, "{text}: {answer}");
        }
        assert_eq!(names(&mut server).len(), 3);
    }
    let (rest, status) = server.end();
    assert_eq!((rest, status.code()), (vec![], Some(0)));
}

#[test]
fn a_cancelled_read_stops_and_a_cancelled_message_is_posted() {
    let (sender, closed) = mpsc::channel();
    let (arrived, arrival) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let shared = Mutex::new((sender, arrived));
    let gone = Mutex::new(gone);
    let upstream = Upstream::start(move |request, stream| {
        shared.lock().unwrap().1.send(()).unwrap();
        if request.starts_with("POST") {
            gone.lock().unwrap().recv().unwrap();
            let body = r#"{"id":"9","channel_id":"1","author":{"id":"2","username":"b"},"timestamp":"t","content":"x"}"#;
            stream
                .write_all(http("200 OK", "", body).as_bytes())
                .unwrap();
        }
        // Who reads is never answered: this returns when the other side gives up.
        let end = stream.read(&mut [0]).ok();
        shared.lock().unwrap().0.send(end).unwrap();
    });
    let base = upstream.base_url();
    let variables = [(BASE, base.as_str()), ("DISCORD_TOKEN", "t")];
    let cancel = |id: u64| {
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": id, "reason": "no longer wanted"}})
    };
    let mut server = Server::start(&[], &variables);
    let arguments = json!({"guild_id": "5"});
    server.say(&request(
        1,
        "tools/call",
        &tool("list_channels", &arguments),
    ));
    let requests = 3;
    for _ in 0..requests {
        arrival.recv().unwrap();
    }
    server.say(&cancel(1));
    for _ in 0..requests {
        closed.recv().unwrap();
    }
    let arguments = json!({"channel_id": "1", "content": "x"});
    server.say(&request(2, "tools/call", &tool("send_message", &arguments)));
    arrival.recv().unwrap();
    server.say(&cancel(2));
    // Neither is answered, and what comes after them is.
    assert_eq!(names(&mut server).len(), 3);
    go.send(()).unwrap();
    let (rest, status) = server.end();
    assert_eq!((rest, status.code()), (vec![], Some(0)));
    assert_eq!(closed.recv().unwrap(), Some(0), "the answer was not taken");
}

#[test]
fn a_message_that_is_cancelled_at_once_is_posted() {
    let sandbox = SandboxProcess::start(&[]);
    let base = format!("http://{}", sandbox.line.http);
    let variables = [(BASE, base.as_str()), ("DISCORD_TOKEN", sandbox.token(0))];
    let arguments = json!({"channel_id": sandbox.channel("general"), "content": "x"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 1}});
    for posted in 1..=5 {
        let mut server = Server::start(&[], &variables);
        server.send(format!("{call}\n{cancel}\n").as_bytes());
        let (rest, status) = server.end();
        assert_eq!((rest, status.code()), (vec![], Some(0)));
        assert_eq!(sandbox.stats().messages, posted);
    }
}

#[test]
fn a_call_that_waits_out_a_limit_tells_so() {
    let sandbox = SandboxProcess::start(&[]);
    let base = format!("http://{}", sandbox.line.http);
    let variables = [(BASE, base.as_str()), ("DISCORD_TOKEN", sandbox.token(0))];
    let mut server = Server::start(&[], &variables);
    let limit = json!({"times": 2, "do": {"rate_limit": {"scope": "user", "retry_after": 0.3}}});
    sandbox.fault(&limit);
    let arguments = json!({"channel_id": sandbox.channel("general"), "content": "hello"});
    let mut call = request(1, "tools/call", &tool("send_message", &arguments));
    call["params"]["_meta"]["progressToken"] = json!("p");
    server.say(&call);
    for told in 1..=2 {
        let progress = server.read();
        assert_eq!(progress["method"], "notifications/progress", "{progress}");
        let params = &progress["params"];
        assert_eq!(
            (&params["progressToken"], params["progress"].as_f64()),
            (&json!("p"), Some(f64::from(told)))
        );
        let message = params["message"].as_str().unwrap();
        assert!(message.starts_with("waiting for "), "{message}");
    }
    let sent = server.read();
    assert_eq!(
        sent["result"]["structuredContent"]["success"], true,
        "{sent}"
    );
    assert_eq!(sandbox.stats().messages, 1);
}

#[test]
fn tools_are_offered_as_the_flags_say() {
    let variables = [(BASE, NOWHERE)];
    for (args, expected) in [
        (&["--read-only"][..], &["list_channels"][..]),
        (&["--tools", "send_message"], &["send_message"]),
        (
            &["--tools", "test_message,list_channels"],
            &["list_channels", "test_message"],
        ),
        (&["--tools", "send_message", "--read-only"], &[]),
    ] {
        let mut server = Server::start(args, &variables);
        assert_eq!(names(&mut server), expected, "{args:?}");
        if !expected.contains(&"send_message") {
            let call = request(1, "tools/call", &tool("send_message", &json!({})));
            assert_eq!(server.ask(&call)["error"]["code"], -32602, "{args:?}");
        }
    }
}

#[test]
fn the_default_guild_is_meant_where_nothing_is_named() {
    let sandbox = SandboxProcess::start(&[]);
    let base = format!("http://{}", sandbox.line.http);
    let token = sandbox.bot("scout").token.clone();
    let (guild, workshop) = (&sandbox.line.guild_id, &sandbox.line.workshop.guild_id);
    let common = [(BASE, base.as_str()), ("DISCORD_TOKEN", token.as_str())];
    let of_variable = [common[0], common[1], ("DEFAULT_SERVER_ID", guild)];
    for (args, variables) in [
        (vec!["--guild-id", guild.as_str()], &common[..]),
        (vec!["--server-id", guild.as_str()], &common[..]),
        (vec![], &of_variable[..]),
    ] {
        let mut server = Server::start(&args, variables);
        let call = |arguments| request(1, "tools/call", &tool("list_channels", &arguments));
        let listed = server.ask(&call(json!({})));
        let channels = &listed["result"]["structuredContent"]["channels"];
        for channel in channels.as_array().unwrap() {
            assert_eq!(&channel["guild_id"], guild, "{listed}");
        }
        let other = server.ask(&call(json!({"server_id": workshop})));
        assert!(!other.to_string().contains(guild.as_str()), "{other}");
        // A message says by itself where it goes.
        let arguments = json!({"channel_id": sandbox.channel("general"), "content": "x"});
        let sent = server.ask(&request(1, "tools/call", &tool("send_message", &arguments)));
        let reply = &sent["result"]["structuredContent"];
        assert_eq!(
            (reply["success"] == true, reply.get("guild_id")),
            (true, None),
            "{sent}"
        );
        let opened = server.ask(&request(1, "server/discover", &json!({})));
        let instructions = opened["result"]["instructions"].as_str().unwrap();
        assert!(instructions.contains(guild.as_str()), "{instructions}");
    }
}

#[test]
fn the_token_comes_from_where_the_flags_say() {
    let sandbox = SandboxProcess::start(&[]);
    let base = format!("http://{}", sandbox.line.http);
    let folder = Folder::new();
    let file = folder.join("token");
    fs::write(&file, format!("{}\n", sandbox.token(0))).unwrap();
    let file = file.to_str().unwrap();
    let (token, id) = (sandbox.token(0), &sandbox.line.bots[0].id);
    let with_its_line_end = format!("{token}\n");
    let call = request(1, "tools/call", &tool("list_channels", &json!({})));
    for (args, variable) in [
        (&["--token", token][..], ("DISCORD_TOKEN", "ignored")),
        (&["--token-file", file], ("DISCORD_TOKEN", "ignored")),
        (&["--token-env", "SCOUT"], ("SCOUT", token)),
        (&[], ("DISCORD_TOKEN", token)),
        (&[], ("DISCORD_TOKEN", &with_its_line_end)),
    ] {
        let mut server = Server::start(args, &[(BASE, &base), variable]);
        let listed = server.ask(&call);
        let reply = &listed["result"]["structuredContent"];
        assert_eq!(reply["bot_id"], *id, "{args:?}: {listed}");
    }
    let mut without = Server::start(&[], &[(BASE, &base)]);
    assert_eq!(names(&mut without).len(), 3);
    let refused = without.ask(&call);
    let error = &refused["result"]["structuredContent"];
    assert_eq!(error["data"]["path"], "discord_token", "{refused}");
    assert_eq!(sandbox.stats().messages, 0);
}

#[test]
fn a_wrong_command_line_ends_it_and_shows_no_token() {
    let folder = Folder::new();
    let missing = folder.join("missing");
    for args in [
        &["--token", "Bearer secret"][..],
        &["--token", "se cret"],
        &["--token-file", missing.to_str().unwrap()],
        &["--token", "secret", "--token-file", "x"],
        &["--tools", "sendMessage"],
        &["--guild-id", "secret"],
        &["--connect", "http://127.0.0.1:1/path"],
        &["--connect", "https://127.0.0.1:1/path"],
        &["--connect", "tcp://127.0.0.1:1"],
        &["--connect", "tcp:127.0.0.1:1"],
        &["--connect", "127.0.0.1:9091"],
        &["--connect", "unix:"],
        &["--connect", ""],
    ] {
        let output = run(&[&["mcp"], args].concat(), &[("DISCORD_TOKEN", "t")]);
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert_eq!(output.stdout, b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            !stderr.contains("cret") || args[0] == "--guild-id",
            "{stderr}"
        );
    }
    let wrong = run(&["mcp"], &[("DEFAULT_SERVER_ID", "x")]);
    assert_eq!(wrong.status.code(), Some(64));
    let wrong = run(&["mcp"], &[("DISCORDD_LIMITS__CALLS", "0")]);
    assert_eq!(wrong.status.code(), Some(78));
}

#[test]
fn calls_are_passed_on_to_a_daemon() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let socket = daemon.socket.to_str().unwrap();
    let url = format!("http://{}", daemon.tcp);
    let variables = [(BASE, NOWHERE), ("DISCORD_TOKEN", sandbox.token(1))];
    let call = |name: &str, arguments: Value| request(1, "tools/call", &tool(name, &arguments));
    let channel = sandbox.channel("general");
    let places = [
        socket.to_owned(),
        format!("unix:{socket}"),
        url.clone(),
        format!("{url}/mcp"),
        url.replace("http", "HTTP"),
    ];
    for place in &places {
        let mut server = Server::start(&["--connect", place], &variables);
        let arguments = json!({"channel_id": channel, "content": "x"});
        let sent = server.ask(&call("send_message", arguments));
        let reply = &sent["result"]["structuredContent"];
        assert_eq!(reply["bot_id"], sandbox.line.bots[1].id, "{sent}");
        let refused = server.ask(&call(
            "send_message",
            json!({"channel_id": 1, "content": "x"}),
        ));
        assert_eq!(
            refused["result"]["structuredContent"]["code"], 404,
            "{refused}"
        );
        let arguments = json!({"discord_token": sandbox.token(0)});
        let refused = server.ask(&call("list_channels", arguments));
        assert_eq!(refused["result"]["isError"], true, "{refused}");
    }
    assert_eq!(sandbox.texts("general").len(), places.len());
    let mut server = Server::start(&["--connect", "/nowhere/at/all.sock"], &variables);
    let arguments = json!({"channel_id": channel, "content": "x"});
    let refused = server.ask(&call("send_message", arguments));
    let error = &refused["result"]["structuredContent"];
    assert_eq!(
        (&error["code"], &error["data"]["delivered"]),
        (&json!(503), &json!("no"))
    );
    let hint = error["data"]["hint"].as_str().unwrap();
    assert!(hint.contains("--connect"), "{hint}");
    assert_eq!(server.end().1.code(), Some(0));
}

#[test]
fn a_mute_daemon_does_not_hold_its_end_up() {
    let folder = Folder::new();
    let socket = folder.join("mute.sock");
    let daemon = UnixListener::bind(&socket).unwrap();
    let args = ["--connect", socket.to_str().unwrap()];
    let arguments = json!({"channel_id": "1", "content": "x"});
    let call = request(1, "tools/call", &tool("send_message", &arguments));
    let under_way = |drain_timeout| {
        let variables = [("DISCORD_TOKEN", "t"), (DRAIN, drain_timeout)];
        let mut server = Server::start(&args, &variables);
        server.say(&call);
        (server, daemon.accept().unwrap())
    };
    // Told once: what is known of the call is said when the time is over.
    let (server, _connection) = under_way("1ms");
    server.signal(Signal::TERM);
    let (rest, status) = server.wait();
    assert_eq!((rest.len(), status.code()), (1, Some(0)), "{rest:?}");
    let error = &rest[0]["result"]["structuredContent"];
    let nonce = error["data"]["nonce"].as_str().unwrap();
    assert_eq!(
        (&error["code"], &error["data"]["delivered"], nonce.len()),
        (&json!(504), &json!("unknown"), 16)
    );
    // Told twice: it ends at once.
    let (server, _connection) = under_way("1h");
    server.signal(Signal::TERM);
    server.signal(Signal::INT);
    let (rest, status) = server.wait();
    assert_eq!((rest, status.code()), (vec![], Some(0)));
}
