//! The sandbox as a server: its doors, its bots, its guilds and channels.

use rustix::process::Signal;
use serde_json::{Value, json};
use twilight_model::channel::{Channel, ChannelType};
use twilight_model::guild::{Guild, Permissions};
use twilight_model::user::{CurrentUser, CurrentUserGuild};

use crate::support::http::{Answer, Client};
use crate::support::sandbox::{SandboxProcess, Stats};

/// A token of a bot that nobody made; its user id is 123456789012345678.
const STRANGER: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4.AAAAAA.not-a-secret";

/// Checks an error's status, code and sentence, and that there is nothing else.
fn refused(answer: &Answer, status: u16, code: u32, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({ "code": code, "message": message }));
}

#[test]
fn bots_are_told_apart_by_their_tokens() {
    let sandbox = SandboxProcess::start(&[]);
    assert!(sandbox.line.bots.len() >= 2);
    for bot in &sandbox.line.bots {
        let user: CurrentUser = sandbox.get(&bot.token, "/users/@me").parse();
        assert_eq!(user.id.to_string(), bot.id);
        assert_eq!(user.name, bot.name);
        assert!(user.bot);
    }
}

#[test]
fn tokens_differ_from_start_to_start() {
    let (one, other) = (SandboxProcess::start(&[]), SandboxProcess::start(&[]));
    assert_ne!(one.token(0), other.token(0));
    assert_eq!(one.line.bots[0].id, other.line.bots[0].id);
}

#[test]
fn missing_or_wrong_token_is_unauthorized() {
    let sandbox = SandboxProcess::start(&[]);
    let token = sandbox.token(0);
    let cut = format!("Bot {}", &token[..token.len() - 1]);
    let bare = token.to_owned();
    let bearer = format!("Bearer {token}");
    let stranger = format!("Bot {STRANGER}");
    for header in ["", "Bot ", &cut, &bare, &bearer, &stranger] {
        let headers = [("authorization", header)];
        let answer = sandbox
            .client()
            .send("GET", "/api/v10/users/@me", &headers, b"");
        refused(&answer, 401, 0, "401: Unauthorized");
    }
    let answer = sandbox.client().send("GET", "/api/v10/users/@me", &[], b"");
    refused(&answer, 401, 0, "401: Unauthorized");
}

#[test]
fn any_well_formed_token_is_a_bot_when_asked_for() {
    let sandbox = SandboxProcess::start(&["--any-token"]);
    let user: CurrentUser = sandbox.get(STRANGER, "/users/@me").parse();
    assert_eq!(user.id.get(), 123_456_789_012_345_678);
    assert_eq!(user.name, "bot-123456789012345678");
    let posted = sandbox.post(STRANGER, "general", &json!({ "content": "hello" }));
    assert_eq!(posted.json()["author"]["id"], "123456789012345678");
    let guilds: Vec<CurrentUserGuild> = sandbox.get(STRANGER, "/users/@me/guilds").parse();
    assert_eq!(guilds.len(), 1);
    let known: CurrentUser = sandbox.get(sandbox.token(1), "/users/@me").parse();
    assert_eq!(known.name, sandbox.line.bots[1].name);
    for token in ["nonsense", "a.b.c", "MTIz.b", "eHl6.b.c"] {
        let answer = sandbox.get(token, "/users/@me");
        refused(&answer, 401, 0, "401: Unauthorized");
    }
}

#[test]
fn bot_is_in_one_of_the_two_guilds() {
    let sandbox = SandboxProcess::start(&[]);
    let token = sandbox.token(0);
    let guilds: Vec<CurrentUserGuild> = sandbox.get(token, "/users/@me/guilds").parse();
    let ids: Vec<String> = guilds.iter().map(|guild| guild.id.to_string()).collect();
    assert_eq!(ids, [sandbox.line.guild_id.as_str()]);
    assert!(guilds[0].permissions.contains(Permissions::SEND_MESSAGES));

    let path = format!("/guilds/{}?with_counts=true", sandbox.line.guild_id);
    let guild: Guild = sandbox.get(token, &path).parse();
    assert_eq!(guild.id, guilds[0].id);
    assert_eq!(guild.approximate_member_count, Some(2));
    assert_eq!(guild.roles[0].id.get(), guild.id.get());
}

#[test]
fn guilds_are_paged() {
    let sandbox = SandboxProcess::start(&[]);
    let id = &sandbox.line.guild_id;
    let page = |query: &str| -> usize {
        let path = format!("/users/@me/guilds?{query}");
        let guilds: Vec<Value> = sandbox.get(sandbox.token(0), &path).parse();
        guilds.len()
    };
    assert_eq!(page("limit=200&after=1&with_counts=true"), 1);
    assert_eq!(page(&format!("after={id}")), 0);
    assert_eq!(page(&format!("before={id}")), 0);
    assert_eq!(page("before=9000000000000000000"), 1);
    let answer = sandbox.get(sandbox.token(0), "/users/@me/guilds?limit=201");
    let message = "int value should be less than or equal to 200.";
    let expected = json!({ "limit": { "_errors": [
        { "code": "NUMBER_TYPE_MAX", "message": message }
    ] } });
    assert_eq!(answer.json()["errors"], expected);
}

#[test]
fn channels_of_the_guild_are_listed_with_their_overwrites() {
    let sandbox = SandboxProcess::start(&[]);
    let path = format!("/guilds/{}/channels", sandbox.line.guild_id);
    let channels: Vec<Channel> = sandbox.get(sandbox.token(0), &path).parse();
    let names: Vec<&str> = channels
        .iter()
        .filter_map(|channel| channel.name.as_deref())
        .collect();
    assert_eq!(names, ["general", "random", "read-only"]);
    for channel in &channels {
        assert_eq!(channel.kind, ChannelType::GuildText);
        let path = format!("/channels/{}", channel.id);
        let again: Channel = sandbox.get(sandbox.token(1), &path).parse();
        assert_eq!(again, *channel);
    }
    let overwrites = channels[2].permission_overwrites.as_ref().unwrap();
    assert_eq!(overwrites[0].deny, Permissions::SEND_MESSAGES);
}

#[test]
fn what_is_unknown_or_out_of_reach_has_its_own_code() {
    let sandbox = SandboxProcess::start(&[]);
    let get = |path: &str| sandbox.get(sandbox.token(0), path);
    let general = sandbox.channel("general");
    let elsewhere = sandbox.channel("elsewhere");
    refused(&get("/channels/7"), 404, 10003, "Unknown Channel");
    refused(&get("/channels/7/messages"), 404, 10003, "Unknown Channel");
    refused(&get("/guilds/7"), 404, 10004, "Unknown Guild");
    refused(&get("/guilds/7/channels"), 404, 10004, "Unknown Guild");
    let message = get(&format!("/channels/{general}/messages/7"));
    refused(&message, 404, 10008, "Unknown Message");
    for path in ["", "/messages", "/messages/7"] {
        let answer = get(&format!("/channels/{elsewhere}{path}"));
        refused(&answer, 403, 50001, "Missing Access");
    }
    // The made-up guild of that channel has an id a little below it.
    let abroad: u64 = elsewhere.parse::<u64>().unwrap() - 3;
    let answer = get(&format!("/guilds/{abroad}"));
    refused(&answer, 403, 50001, "Missing Access");

    let expected = json!({ "channel_id": { "_errors": [
        { "code": "NUMBER_TYPE_COERCE", "message": "Value \"abc\" is not snowflake." }
    ] } });
    let answer = get("/channels/abc");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!(50035))
    );
    assert_eq!(answer.json()["errors"], expected);
}

#[test]
fn unknown_path_and_wrong_method_are_refused() {
    let sandbox = SandboxProcess::start(&[]);
    for path in ["/", "/api/v10", "/api/v10/nothing", "/_sandbox/nothing"] {
        let answer = sandbox.client().send("GET", path, &[], b"");
        refused(&answer, 404, 0, "404: Not Found");
    }
    for (method, path) in [
        ("DELETE", "/api/v10/users/@me"),
        ("POST", "/_sandbox/stats"),
    ] {
        let answer = sandbox.client().send(method, path, &[], b"");
        refused(&answer, 405, 0, "405: Method Not Allowed");
    }
}

#[test]
fn stats_count_api_requests_and_their_connections_only() {
    let sandbox = SandboxProcess::start(&[]);
    let none = Stats {
        connections: 0,
        requests: 0,
        messages: 0,
    };
    assert_eq!(sandbox.stats(), none);
    let mut client = sandbox.client();
    let authorization = format!("Bot {}", sandbox.token(0));
    for _ in 0..3 {
        let headers = [("authorization", authorization.as_str())];
        let answer = client.send("GET", "/api/v10/users/@me", &headers, b"");
        assert_eq!(answer.status, 200);
        assert_eq!(client.send("GET", "/_sandbox/stats", &[], b"").status, 200);
    }
    sandbox.post(
        sandbox.token(0),
        "general",
        &json!({ "content": "counted" }),
    );
    sandbox.post(sandbox.token(0), "general", &json!({}));
    let some = Stats {
        connections: 3,
        requests: 5,
        messages: 1,
    };
    assert_eq!(sandbox.stats(), some);
}

#[test]
fn tls_serves_http_1_under_the_written_authority_and_offers_http_2() {
    let file = std::env::temp_dir().join(format!("discordd-ca-{}.pem", std::process::id()));
    let sandbox =
        SandboxProcess::start(&["--tls", "127.0.0.1:0", "--ca-file", file.to_str().unwrap()]);
    let authority = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let address = sandbox.line.tls.unwrap();

    let (_, agreed) = Client::tls(address, &authority, &["h2", "http/1.1"]);
    assert_eq!(agreed.as_deref(), Some("h2"));
    let authorization = format!("Bot {}", sandbox.token(1));
    for protocols in [&["http/1.1"][..], &[]] {
        let (mut client, agreed) = Client::tls(address, &authority, protocols);
        assert_eq!(agreed.as_deref(), protocols.first().copied());
        for _ in 0..2 {
            let headers = [("authorization", authorization.as_str())];
            let answer = client.send("GET", "/api/v10/users/@me", &headers, b"");
            assert_eq!(answer.json()["id"], sandbox.line.bots[1].id);
        }
    }
    assert_eq!(sandbox.stats().connections, 2);
}

#[test]
fn many_short_connections_are_all_answered() {
    const THREADS: u64 = 8;
    const EACH: u64 = 250;
    let sandbox = SandboxProcess::start(&["--history", "10"]);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let token = sandbox.token(usize::from(thread % 2 == 1));
                for _ in 0..EACH {
                    let answer = sandbox.post(token, "general", &json!({ "content": "short" }));
                    assert_eq!(answer.status, 200);
                }
            });
        }
    });
    let all = THREADS * EACH;
    let expected = Stats {
        connections: all,
        requests: all,
        messages: all,
    };
    assert_eq!(sandbox.stats(), expected);
}

#[test]
fn signal_ends_it_with_success_although_connections_are_open() {
    for signal in [Signal::TERM, Signal::INT] {
        let sandbox = SandboxProcess::start(&[]);
        let _silent = sandbox.client();
        let mut idle = sandbox.client();
        assert_eq!(idle.send("GET", "/_sandbox/stats", &[], b"").status, 200);
        assert_eq!(sandbox.end(signal).code(), Some(0));
    }
}

#[test]
fn ca_file_needs_tls_and_a_taken_address_is_named() {
    let run = |args: &[&str]| {
        let binary = env!("CARGO_BIN_EXE_discordd");
        let mut command = std::process::Command::new(binary);
        command.arg("sandbox").args(args).output().unwrap()
    };
    let output = run(&["--ca-file", "/nowhere/ca.pem"]);
    assert_eq!(output.status.code(), Some(64));

    let sandbox = SandboxProcess::start(&[]);
    let address = sandbox.line.http.to_string();
    let output = run(&["--http", &address]);
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(&format!("bind {address}")), "{stderr}");
}
