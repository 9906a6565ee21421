//! Who may call at a door, and for what: each refusal says so, and nothing of it reaches Discord.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::{Signal, getgid, getuid};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;

use crate::support::{
    daemon::{Daemon, Folder, run},
    http::{Answer, Client},
    lines::Lines,
    mcp,
    sandbox::SandboxProcess,
};

/// Nobody is asked anything in these tests.
const NOWHERE: &str = "http://127.0.0.1:9";
const SECRET: &str = "correct-horse-battery-staple";
const WRONG: &str = "incorrect-horse-battery-staple";

/// How a call is spelled.
const FRAMINGS: [Framing; 5] = [
    Framing::Http,
    Framing::Lines,
    Framing::Mcp,
    Framing::Rest,
    Framing::Websocket,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Http,
    Lines,
    Mcp,
    Rest,
    Websocket,
}

/// A bot in many guilds, of which one is among the first ten and another is not.
struct Drifter {
    sandbox: SandboxProcess,
}

impl Drifter {
    fn start() -> Self {
        let sandbox = SandboxProcess::start(&[]);
        Self { sandbox }
    }

    fn token(&self) -> &str {
        &self.sandbox.bot("drifter").token
    }

    /// The guild with this number, and a channel in it.
    fn place(number: u64) -> (String, String) {
        let guild = 1_230_000_000_000_000_000 + (number << 32);
        (guild.to_string(), (guild + 4).to_string())
    }

    fn base_url(&self) -> String {
        format!("http://{}", self.sandbox.line.http)
    }

    /// Starts a daemon with a door of these settings, and gives its socket.
    fn served(&self, settings: &str) -> Served {
        Served::start(settings, &self.base_url())
    }
}

/// A daemon with one more door, at a Unix socket.
struct Served {
    daemon: Daemon,
    folder: Folder,
    door: PathBuf,
}

impl Served {
    fn start(settings: &str, base_url: &str) -> Self {
        let folder = Folder::new();
        let door = folder.path("door.sock");
        folder.put("secret", &format!("{SECRET}\n"));
        let settings = settings.replace("FOLDER", &folder.path(""));
        let text = format!(
            "[listen]\ntcp = \"127.0.0.1:0\"\n[[door]]\nname = \"door\"\naddress = \"unix:{door}\"\n{settings}\n"
        );
        let daemon = Daemon::configured(&folder, &text, base_url);
        let door = PathBuf::from(door);
        Self {
            daemon,
            folder,
            door,
        }
    }

    fn with_secret() -> Self {
        Self::start(HAS_SECRET, NOWHERE)
    }

    fn lines(&self) -> Lines {
        Lines::unix(&self.door)
    }

    fn http(&self) -> Client {
        Client::over(UnixStream::connect(&self.door).unwrap())
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.http().send("GET", path, headers, b"")
    }

    /// Calls on a connection of its own, and gives the answer as JSON-RPC has it; none where the
    /// framing has no such call.
    fn ask(&self, framing: Framing, secret: Option<&str>, call: &Value) -> Option<Value> {
        let shown = secret.map(|secret| ("discordd-secret", secret));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(shown);
        let body = call.to_string();
        let spelled = |answer: Answer| {
            let json = answer.json();
            if answer.status == 200 {
                json!({ "result": json })
            } else if json["error"].is_object() {
                // Whom the door is not for at all gets no answer of the REST API's.
                json
            } else {
                assert_eq!(json["code"], answer.status);
                json!({ "error": json })
            }
        };
        match framing {
            Framing::Lines => {
                let mut lines = self.lines();
                if let Some(secret) = secret {
                    lines.send(json!({ "secret": secret }).to_string().as_bytes());
                }
                Some(lines.ask(call))
            }
            Framing::Http => {
                let answer = self.http().send("POST", "/", &headers, body.as_bytes());
                assert!(matches!(answer.status, 200 | 403), "{answer:?}");
                Some(answer.json())
            }
            Framing::Websocket => Some(self.over_websocket(shown, &body)),
            Framing::Rest => {
                let (method, path) = match call["method"].as_str().unwrap() {
                    "health" => ("GET", "/health"),
                    "rpc.discover" => ("GET", "/openrpc.json"),
                    "discord.listChannels" => ("POST", "/channels"),
                    "discord.sendMessage" => ("POST", "/messages"),
                    "discord.test" => ("POST", "/test"),
                    other => panic!("{other}"),
                };
                let body = if method == "GET" {
                    String::new()
                } else {
                    call["params"].to_string()
                };
                Some(spelled(self.http().send(
                    method,
                    path,
                    &headers,
                    body.as_bytes(),
                )))
            }
            Framing::Mcp => {
                let name = match call["method"].as_str().unwrap() {
                    "discord.listChannels" => "list_channels",
                    "discord.sendMessage" => "send_message",
                    "discord.test" => "test_message",
                    _ => return None,
                };
                let mut arguments = call["params"].clone();
                let token = arguments["discord_token"].take();
                arguments.as_object_mut().unwrap().remove("discord_token");
                let authorization = format!("Bot {}", token.as_str().unwrap());
                let mut headers = vec![("authorization", authorization.as_str())];
                headers.extend(shown);
                let call = mcp::legacy(1, "tools/call", &mcp::tool(name, &arguments)).to_string();
                let answer = mcp::post(&mut self.http(), "/mcp", &headers, call.as_bytes());
                if answer.status == 403 {
                    return Some(answer.json());
                }
                let result = answer.json()["result"].clone();
                let structured = result["structuredContent"].clone();
                Some(if result["isError"] == true {
                    json!({ "error": structured })
                } else {
                    json!({ "result": structured })
                })
            }
        }
    }

    fn over_websocket(&self, shown: Option<(&'static str, &str)>, call: &str) -> Value {
        let stream = UnixStream::connect(&self.door).unwrap();
        let mut request = "ws://localhost/".into_client_request().unwrap();
        if let Some((name, value)) = shown {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match tungstenite::client(request, stream) {
            Ok((mut socket, _)) => {
                socket.send(call.into()).unwrap();
                let answer = socket.read().unwrap();
                serde_json::from_str(answer.to_text().unwrap()).unwrap()
            }
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(refused))) => {
                assert_eq!(refused.status(), 403);
                let body = refused.body().as_deref().unwrap();
                serde_json::from_slice(body).unwrap()
            }
            Err(err) => panic!("{err}"),
        }
    }
}

const HAS_SECRET: &str = "secret_file = \"FOLDERsecret\"";

fn health() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "health"})
}

/// `ok`, or what was refused, or the code of another error.
fn outcome(answer: &Value) -> String {
    let error = &answer["error"];
    if error.is_null() {
        assert!(answer["result"].is_object(), "{answer}");
        return "ok".to_owned();
    }
    let data = &error["data"];
    let Some(denied) = data["denied"].as_str() else {
        return error.to_string();
    };
    assert_eq!(error["code"], 403, "{error}");
    let told = [&data["kind"], &data["delivered"], &data["retryable"]];
    assert_eq!(told, [&json!("denied"), &json!("no"), &json!(false)]);
    assert!(data["hint"].is_string(), "{error}");
    denied.to_owned()
}

/// The calls of the matrix: what is asked, and whether it posts.
fn calls(drifter: &Drifter) -> [(Value, bool); 6] {
    let ((guild, near), (_, far)) = (Drifter::place(0), Drifter::place(150));
    let call = |method: &str, mut params: Value| {
        if method.starts_with("discord.") {
            params["discord_token"] = json!(drifter.token());
        }
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    };
    let send = |channel: &str| json!({"channel_id": channel, "content": "hi"});
    [
        (call("health", json!({})), false),
        (call("rpc.discover", json!({})), false),
        (
            call("discord.listChannels", json!({"guild_id": guild})),
            false,
        ),
        (call("discord.test", json!({"channel_id": near})), true),
        (call("discord.sendMessage", send(&near)), true),
        (call("discord.sendMessage", send(&far)), true),
    ]
}

/// Holds what comes of each call at a door with these settings, in every framing.
fn check(drifter: &Drifter, settings: &str, secret: Option<&str>, expected: [&str; 6]) {
    let served = drifter.served(settings);
    for framing in FRAMINGS {
        for ((call, posts), expected) in calls(drifter).iter().zip(expected) {
            let before = drifter.sandbox.stats();
            let about = format!("{settings}, {secret:?}, {framing:?}: {}", call["method"]);
            let Some(answer) = served.ask(framing, secret, call) else {
                continue;
            };
            assert_eq!(outcome(&answer), expected, "{about}: {answer}");
            let after = drifter.sandbox.stats();
            let messages = after.messages - before.messages;
            let is_posted = *posts && expected == "ok";
            assert_eq!(messages, u64::from(is_posted), "{about}");
            // Whose guild decides, Discord is asked which it is, and nothing else.
            let asks = expected == "guild" && call["params"]["channel_id"].is_string();
            if expected != "ok" {
                let requests = after.requests - before.requests;
                assert_eq!(requests, u64::from(asks), "{about}");
                let connections = after.connections - before.connections;
                assert_eq!(connections, u64::from(asks), "{about}");
            }
        }
    }
    assert!(!served.daemon.stop().contains("\"ERROR\""));
}

#[test]
fn each_door_lets_each_caller_call_what_it_says() {
    let drifter = Drifter::start();
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let ((guild, near), (far_guild, _)) = (Drifter::place(0), Drifter::place(150));
    let all = ["ok"; 6];
    let rows: [(String, [&str; 6]); 15] = [
        (String::new(), all),
        (format!("uids = {uid}"), all),
        (format!("uids = [{}]", uid + 1), ["uid"; 6]),
        (format!("gids = [{gid}]"), all),
        (format!("gids = [{}]", gid + 1), ["gid"; 6]),
        (format!("uids = [{}]\ngids = [{gid}]", uid + 1), all),
        (
            "methods = [\"discord.sendMessage\"]".to_owned(),
            ["method", "method", "method", "method", "ok", "ok"],
        ),
        (
            "methods = [\"!discord.sendMessage\", \"!rpc.discover\"]".to_owned(),
            ["ok", "method", "ok", "ok", "method", "method"],
        ),
        (
            "read_only = true".to_owned(),
            ["ok", "ok", "ok", "read_only", "read_only", "read_only"],
        ),
        (
            format!("guilds = [\"{guild}\"]"),
            ["ok", "ok", "ok", "ok", "ok", "guild"],
        ),
        (
            format!("guilds = {far_guild}"),
            ["ok", "ok", "guild", "guild", "guild", "ok"],
        ),
        (
            format!("channels = [{near}]"),
            ["ok", "ok", "ok", "ok", "ok", "channel"],
        ),
        (
            "channels = 1".to_owned(),
            ["ok", "ok", "ok", "channel", "channel", "channel"],
        ),
        (format!("channels = {near}\nguilds = {far_guild}"), all),
        (
            format!("guilds = {guild}\nread_only = true\nmethods = \"!health\""),
            ["method", "ok", "ok", "read_only", "read_only", "read_only"],
        ),
    ];
    for (settings, expected) in rows {
        check(&drifter, &settings, None, expected);
    }
}

#[test]
fn a_door_with_a_secret_is_for_those_who_know_it() {
    let drifter = Drifter::start();
    check(&drifter, HAS_SECRET, None, ["secret"; 6]);
    check(&drifter, HAS_SECRET, Some(SECRET), ["ok"; 6]);
    // Who knows it has no more rights than the door gives.
    let reads = format!("{HAS_SECRET}\nread_only = true");
    let expected = ["ok", "ok", "ok", "read_only", "read_only", "read_only"];
    check(&drifter, &reads, Some(SECRET), expected);
    // At a door that has none it may be shown all the same.
    check(&drifter, "", Some(SECRET), ["ok"; 6]);
}

#[test]
fn a_wrong_secret_is_refused_after_a_pause_and_the_connection_is_closed() {
    let drifter = Drifter::start();
    let served = drifter.served(HAS_SECRET);
    let calls = calls(&drifter);
    let before = drifter.sandbox.stats().requests;
    std::thread::scope(|scope| {
        for framing in FRAMINGS {
            let (served, calls) = (&served, &calls);
            scope.spawn(move || {
                let begun = Instant::now();
                let answer = served.ask(framing, Some(WRONG), &calls[4].0).unwrap();
                assert_eq!(outcome(&answer), "secret", "{framing:?}");
                assert!(begun.elapsed() >= Duration::from_secs(1), "{framing:?}");
            });
        }
    });
    assert_eq!(drifter.sandbox.stats().requests, before);
    assert_eq!(served.daemon.refused("secret"), 5);
    let answer = served.get("/health", &[("discordd-secret", WRONG)]);
    assert_eq!(
        (answer.status, answer.header("connection")),
        (403, Some("close"))
    );
    let mut lines = served.lines();
    lines.send(format!("{{\"secret\":\"{WRONG}\"}}{}", health()).as_bytes());
    let answers = lines.rest();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0]["id"], Value::Null);
}

#[test]
fn the_secret_is_the_first_text_and_is_answered_by_nothing() {
    let served = Served::with_secret();
    let shown = format!("{{\"secret\":\"{SECRET}\"}}");
    let calls = format!("{}{}", health(), health());
    for input in [
        format!("{shown}\n{calls}"),
        format!("{shown}{calls}"),
        format!(" \n{{ \"secret\" :\n\"{SECRET}\" }} {calls}\n"),
        format!("{shown}{calls}").replace("correct", "\\u0063orrect"),
        // Shown again it says nothing new, and no secret at all.
        format!("{shown}{}{shown}{{\"secret\":\"\"}}{}", health(), health()),
    ] {
        for at_once in [true, false] {
            let mut lines = served.lines();
            if at_once {
                lines.send(input.as_bytes());
            } else {
                for byte in input.as_bytes() {
                    lines.send(&[*byte]);
                }
            }
            lines.end();
            let answers = lines.rest();
            assert_eq!(answers.len(), 2, "{input}: {answers:?}");
            assert!(answers.iter().all(|it| it["result"]["status"] == "healthy"));
        }
    }
}

#[test]
fn what_is_no_secret_closes_the_connection() {
    let served = Served::with_secret();
    let long = format!("{{\"secret\":\"{}\"}}", "x".repeat(10_000));
    for input in [
        health().to_string().as_str(),
        "{}",
        "{\"secret\":5}",
        "{\"secret\":\"\"",
        &format!("{{\"secret\":\"{SECRET}\",\"more\":1}}"),
        &format!("[\"{SECRET}\"]"),
        &format!("[{{\"secret\":\"{SECRET}\"}}]"),
        &long,
    ] {
        let answers = served.lines().exchange(input.as_bytes());
        assert_eq!(answers.len(), 1, "{input}");
        assert_eq!(outcome(&answers[0]), "secret", "{input}");
    }
    // Nobody who has shown nothing is waited for, or has room for much.
    let limits = "[limits]\nheader_timeout = \"200ms\"\n";
    let served = Served::start(&format!("{HAS_SECRET}\n{limits}"), NOWHERE);
    let mut lines = served.lines();
    lines.send(b"{\"secret\":");
    assert_eq!(outcome(&lines.rest()[0]), "secret");
    let mut stream = UnixStream::connect(&served.door).unwrap();
    stream.write_all(b"{\"secret\":\"").unwrap();
    // The daemon may be done with it before all of it is sent.
    let _ = stream.write_all(&vec![b'x'; 1 << 20]);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(outcome(&serde_json::from_str(&answer).unwrap()), "secret");
}

#[test]
fn pages_need_the_secret_but_for_those_that_say_only_whether_it_lives() {
    let served = Served::with_secret();
    let shown = [("discordd-secret", SECRET)];
    for path in ["/health", "/metrics", "/openrpc.json"] {
        let refused = served.get(path, &[]);
        assert_eq!(refused.status, 403, "{path}");
        assert_eq!(refused.json()["data"]["denied"], "secret", "{path}");
        assert_eq!(served.get(path, &shown).status, 200, "{path}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(served.get(path, &[]).status, 200, "{path}");
    }
    // No 401, which makes clients of MCP ask for a login.
    let refused = mcp::post(&mut served.http(), "/mcp", &[], b"{}");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("www-authenticate"), None);
}

#[test]
fn who_may_not_call_at_all_gets_no_page_either() {
    let served = Served::start(&format!("uids = {}", getuid().as_raw() + 1), NOWHERE);
    for path in ["/health", "/livez", "/metrics", "/nowhere"] {
        let refused = served.get(path, &[]);
        assert_eq!(
            (refused.status, refused.header("connection")),
            (403, Some("close"))
        );
        assert_eq!(refused.json()["error"]["data"]["denied"], "uid", "{path}");
    }
    let answers = served
        .lines()
        .exchange(format!("{}{}", health(), health()).as_bytes());
    assert_eq!(answers.len(), 1);
    assert_eq!(outcome(&answers[0]), "uid");
    assert_eq!(served.daemon.refused("uid"), 5);
}

#[test]
fn a_refusal_says_what_was_refused_and_what_to_do() {
    let drifter = Drifter::start();
    let ((guild, near), (far_guild, far)) = (Drifter::place(0), Drifter::place(150));
    let send = |channel: &str| {
        json!({"jsonrpc": "2.0", "id": "x", "method": "discord.sendMessage",
            "params": {"discord_token": drifter.token(), "channel_id": channel, "content": "hi"}})
    };
    for (settings, call, message, denied, hint) in [
        (
            "methods = \"health\"".to_owned(),
            send(&near),
            "discord.sendMessage may not be called at this door".to_owned(),
            "method",
            "have the method added",
        ),
        (
            "read_only = true".to_owned(),
            send(&near),
            "nothing may be changed through this door, and discord.sendMessage would".to_owned(),
            "read_only",
            "read_only",
        ),
        (
            format!("channels = {near}"),
            send(&far),
            format!("this door is not for channel {far}"),
            "channel",
            "channels or guilds",
        ),
        (
            format!("guilds = {guild}"),
            send(&far),
            format!("this door is not for guild {far_guild}"),
            "guild",
            "guilds",
        ),
    ] {
        let served = drifter.served(&settings);
        let answer = served.lines().ask(&call);
        let data = &answer["error"]["data"];
        assert!(data["hint"].as_str().unwrap().contains(hint), "{answer}");
        let expected = json!({"jsonrpc": "2.0", "id": "x", "error": {"code": 403,
            "message": message, "data": {"kind": "denied", "retryable": false, "delivered": "no",
            "denied": denied, "hint": data["hint"]}}});
        assert_eq!(answer, expected);
        // A notification is refused too, and counted.
        let mut silent = call;
        silent.as_object_mut().unwrap().remove("id");
        let batch = json!([silent, health()]);
        served.lines().ask(&batch);
        assert_eq!(served.daemon.refused(denied), 2);
    }
    assert_eq!(drifter.sandbox.stats().messages, 0);
}

#[test]
fn a_message_from_where_the_door_is_not_for_is_not_shown_elsewhere() {
    let drifter = Drifter::start();
    let ((guild, near), (far_guild, far)) = (Drifter::place(0), Drifter::place(150));
    let posted = drifter
        .served("")
        .lines()
        .ask(&json!({"jsonrpc": "2.0", "id": 1,
        "method": "discord.sendMessage", "params": [drifter.token(), far, "not for everybody"]}));
    let message = &posted["result"]["message_id"];
    let by_channel = drifter.served(&format!("channels = [{near}]"));
    let by_guild = drifter.served(&format!("guilds = [{guild}]"));
    let before = drifter.sandbox.stats().messages;
    let ask = |served: &Served, reference: &Value| {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
            "params": {"discord_token": drifter.token(), "channel_id": near, "content": "see",
                "message_reference": reference}});
        outcome(&served.lines().ask(&call))
    };
    for kind in [0, 1] {
        let there = json!({"type": kind, "message_id": message, "channel_id": far});
        assert_eq!(ask(&by_channel, &there), "channel");
        assert_eq!(ask(&by_guild, &there), "guild");
        let named = json!({"type": kind, "message_id": message, "channel_id": near,
            "guild_id": far_guild});
        assert_eq!(ask(&by_guild, &named), "guild");
        let said = json!({"type": kind, "message_id": message, "guild_id": far_guild});
        assert_eq!(ask(&by_guild, &said), "guild");
        // Whoever says that it is in a guild of the door is not believed.
        let lie =
            json!({"type": kind, "message_id": message, "channel_id": far, "guild_id": guild});
        assert_eq!(ask(&by_guild, &lie), "guild");
    }
    assert_eq!(drifter.sandbox.stats().messages, before);
    let call = |more: Value| {
        let mut params = json!({"discord_token": drifter.token(), "channel_id": near});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage", "params": params})
    };
    // A guild that is only named for the result opens no door, and closes none.
    let lie = json!({"channel_id": far, "guild_id": guild, "content": "hi"});
    assert_eq!(outcome(&by_guild.lines().ask(&call(lie))), "guild");
    let sent = by_guild.lines().ask(&call(json!({"content": "hi"})));
    let reply = json!({"content": "hi", "reply_to": sent["result"]["message_id"]});
    assert_eq!(outcome(&by_guild.lines().ask(&call(reply))), "ok");
    let forward = json!({"message_reference": {"type": 1, "channel_id": near,
        "message_id": sent["result"]["message_id"], "guild_id": guild}});
    assert_eq!(outcome(&by_guild.lines().ask(&call(forward))), "ok");
}

#[test]
fn only_what_the_door_is_for_is_listed() {
    let drifter = Drifter::start();
    let ((guild, near), (far_guild, far)) = (Drifter::place(0), Drifter::place(150));
    let list = |served: &Served, guild: Option<&str>| -> Vec<String> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.listChannels",
            "params": {"discord_token": drifter.token(), "guild_id": guild}});
        let answer = served.lines().ask(&call);
        let channels = answer["result"]["channels"].as_array();
        let channels = channels.unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(answer["result"]["count"], channels.len());
        assert_eq!(answer["result"].get("errors"), None);
        channels
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let requests = || drifter.sandbox.stats().requests;
    let by_guild = drifter.served(&format!("guilds = [{far_guild}]"));
    let before = requests();
    let inside = (far.parse::<u64>().unwrap() - 1).to_string();
    assert_eq!(list(&by_guild, None), [far.clone(), inside.clone()]);
    // The bot, two pages of its guilds, and the one guild.
    assert_eq!(requests() - before, 4);
    assert_eq!(list(&by_guild, Some(&far_guild)), [far.clone(), inside]);
    let by_channel = drifter.served(&format!("channels = [{near}, {far}]"));
    assert_eq!(list(&by_channel, None), [near.clone(), far.clone()]);
    assert_eq!(list(&by_channel, Some(&guild)), std::slice::from_ref(&near));
    let both = drifter.served(&format!("channels = {near}\nguilds = {far_guild}"));
    assert_eq!(list(&both, Some(&guild)), [near]);
    assert_eq!(list(&drifter.served("channels = 1"), Some(&guild)), [""; 0]);
}

#[test]
fn a_test_message_goes_only_where_the_door_is_for() {
    let drifter = Drifter::start();
    let ((guild, near), (far_guild, far)) = (Drifter::place(0), Drifter::place(150));
    let ask = |settings: &str, more: Value| {
        let mut params = more;
        params["discord_token"] = json!(drifter.token());
        params["dry_run"] = json!(true);
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.test", "params": params});
        drifter.served(settings).lines().ask(&call)
    };
    // It is not among the first ten, and is found.
    let found = ask(&format!("guilds = [{far_guild}, 5]"), json!({}));
    assert_eq!(found["result"]["guild_id"], *far_guild, "{found}");
    let found = ask(&format!("channels = [{far}]"), json!({}));
    assert_eq!(found["result"]["channel_id"], *far, "{found}");
    let found = ask(
        &format!("channels = [{near}]\nguilds = {far_guild}"),
        json!({}),
    );
    assert_eq!(found["result"]["channel_id"], *near, "{found}");
    let none = ask("channels = 5", json!({ "guild_id": guild }));
    assert_eq!(none["error"]["code"], 404, "{none}");
    let none = ask("guilds = 5", json!({}));
    assert_eq!(none["error"]["code"], 404, "{none}");
    let refused = ask(
        &format!("guilds = {far_guild}"),
        json!({ "guild_id": guild }),
    );
    assert_eq!(outcome(&refused), "guild");
}

#[test]
fn agents_are_offered_only_the_tools_they_may_call() {
    let tools = |settings: &str| -> Vec<String> {
        let served = Served::start(settings, NOWHERE);
        let list = mcp::request(1, "tools/list", &json!({}));
        let answer = mcp::ask(&mut served.http(), "/mcp", "t", &list);
        let tools = answer["result"]["tools"].as_array().unwrap().iter();
        let names: Vec<_> = tools
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        let call = mcp::request(1, "tools/call", &mcp::tool("nothing", &json!({})));
        let answer = mcp::ask(&mut served.http(), "/mcp", "t", &call);
        let why = answer["error"]["message"].as_str().unwrap();
        assert!(why.ends_with(&names.join(", ")), "{why}");
        names
    };
    assert_eq!(tools(""), ["list_channels", "send_message", "test_message"]);
    assert_eq!(tools("read_only = true"), ["list_channels"]);
    assert_eq!(tools("methods = \"discord.sendMessage\""), ["send_message"]);
    assert_eq!(
        tools("methods = \"!discord.test\""),
        ["list_channels", "send_message"]
    );
}

#[test]
fn rights_and_secrets_are_those_of_the_last_reload() {
    let served = Served::with_secret();
    let show = |secret: &str| {
        let mut lines = served.lines();
        lines.send(json!({ "secret": secret }).to_string().as_bytes());
        lines
    };
    let mut reloads = 0;
    let mut reload = || {
        reloads += 1;
        served.daemon.signal(Signal::HUP);
        served
            .daemon
            .wait_for_logs("the settings were read again", reloads);
    };
    let new = "a-new-secret-of-the-door";
    let mut old_hand = show(SECRET);
    assert_eq!(outcome(&old_hand.ask(&health())), "ok");
    // Both are good for a while.
    served
        .folder
        .put("secret", &format!("{new}\n\n  {SECRET}\r\n"));
    reload();
    assert_eq!(outcome(&old_hand.ask(&health())), "ok");
    for secret in [new, SECRET] {
        assert_eq!(outcome(&show(secret).ask(&health())), "ok");
    }
    let mut new_hand = show(new);
    assert_eq!(outcome(&new_hand.ask(&health())), "ok");
    // The old one is gone, also on connections that were made with it.
    served.folder.put("secret", new);
    reload();
    assert_eq!(outcome(&old_hand.ask(&health())), "secret");
    assert_eq!(outcome(&show(SECRET).ask(&health())), "secret");
    assert_eq!(outcome(&new_hand.ask(&health())), "ok");
    let file = std::fs::read_to_string(served.folder.join("config.toml")).unwrap();
    served.folder.put(
        "config.toml",
        &format!("{file}methods = \"rpc.discover\"\n"),
    );
    reload();
    assert_eq!(outcome(&new_hand.ask(&health())), "method");
    let others = getuid().as_raw() + 1;
    served
        .folder
        .put("config.toml", &format!("{file}uids = {others}\n"));
    reload();
    assert_eq!(outcome(&new_hand.ask(&health())), "uid");
    assert_eq!(
        served.daemon.call("health", &json!({}))["result"]["status"],
        "healthy"
    );
}

#[test]
fn a_secret_is_told_nowhere() {
    let served = Served::start(
        &format!("{HAS_SECRET}\n[log]\nfilter = \"trace\"\n"),
        NOWHERE,
    );
    let shown = |secret: &'static str| [("discordd-secret", secret)];
    served.get("/health", &shown(SECRET));
    served.get("/health", &shown(WRONG));
    served.ask(Framing::Lines, Some(SECRET), &health());
    served.ask(Framing::Lines, Some(WRONG), &health());
    served.ask(Framing::Websocket, Some(SECRET), &health());
    served.ask(Framing::Lines, None, &json!({ "secret": SECRET, "x": 1 }));
    let batch = json!([{ "secret": SECRET }, {"secret": SECRET, "jsonrpc": "2.0"}]);
    let mut told = served
        .ask(Framing::Http, Some(SECRET), &batch)
        .unwrap()
        .to_string();
    let metrics = served.get("/metrics", &shown(SECRET)).body;
    told += &String::from_utf8(metrics).unwrap();
    let path = served.folder.path("config.toml");
    for command in ["show", "check"] {
        let output = run(&["config", command, "--config", &path], &[]);
        assert_eq!(output.status.code(), Some(0));
        told += &String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    }
    assert!(told.contains("secret_file"), "{told}");
    // A secret that cannot be taken is not told either.
    served.folder.put("secret", &format!("{SECRET} and more\n"));
    let output = run(&["config", "check", "--config", &path], &[]);
    assert_eq!(output.status.code(), Some(78));
    told += &String::from_utf8(output.stderr).unwrap();
    served.daemon.signal(Signal::HUP);
    served.daemon.wait_for_log("the settings were not reloaded");
    told += &served.daemon.stop();
    for secret in [SECRET, WRONG] {
        assert!(!told.contains(secret), "{told}");
    }
}
