//! `discord.sendMessage` against the sandbox: what is posted, what is refused, and how often.

use serde_json::{Value, json};

use crate::support::{daemon::Daemon, sandbox::SandboxProcess};

const METHOD: &str = "discord.sendMessage";

/// A daemon in front of a sandbox.
struct Pair {
    sandbox: SandboxProcess,
    daemon: Daemon,
}

impl Pair {
    fn start() -> Self {
        let sandbox = SandboxProcess::start(&[]);
        let base_url = format!("http://{}", sandbox.line.http);
        let daemon = Daemon::start(&base_url, &[]);
        Self { sandbox, daemon }
    }

    /// Params that post `content` in the first channel as the first bot, with `more` over them.
    fn params(&self, more: &Value) -> Value {
        let mut params = json!({
            "discord_token": self.sandbox.token(0),
            "channel_id": self.sandbox.channel("general"),
            "content": "hello",
        });
        let object = params.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        object.retain(|_, value| !value.is_null());
        params
    }

    fn send(&self, more: &Value) -> Value {
        self.daemon.call(METHOD, &self.params(more))
    }

    /// Holds that a call with `more` is refused like this, after so many upstream requests.
    fn check(&self, more: &Value, requests: u64, expected: &Value) {
        let before = self.sandbox.stats().requests;
        let answer = self.send(more);
        assert_contains(&answer["error"], expected, more);
        assert_eq!(self.sandbox.stats().requests - before, requests, "{more}");
    }
}

/// Holds that `found` has everything that `expected` has.
fn assert_contains(found: &Value, expected: &Value, about: &Value) {
    if let Value::Object(members) = expected {
        for (name, expected) in members {
            assert_contains(&found[name], expected, about);
        }
    } else {
        assert_eq!(found, expected, "for {about}");
    }
}

#[test]
fn a_message_is_posted_under_the_bot_of_its_token() {
    let pair = Pair::start();
    for (index, bot) in pair.sandbox.line.bots.iter().enumerate() {
        let text = format!("from {}", bot.name);
        let answer = pair.send(&json!({"discord_token": bot.token, "content": text}));
        let result = &answer["result"];
        assert_eq!(result["success"], true, "{answer}");
        assert_eq!(result["bot_id"], json!(bot.id));
        assert_eq!(result["bot_info"], json!(bot.name));
        assert_eq!(result["channel_id"], json!(pair.sandbox.channel("general")));
        let posted = &pair.sandbox.messages("general")[index];
        assert_eq!(posted["id"], result["message_id"]);
        assert_eq!(posted["content"], json!(text));
        assert_eq!(posted["author"]["id"], json!(bot.id));
        assert_eq!(posted["timestamp"], result["timestamp"]);
        assert_eq!(posted["nonce"], result["nonce"]);
    }
}

#[test]
fn a_message_costs_one_upstream_request_on_one_connection() {
    let pair = Pair::start();
    for sent in 1..=5 {
        pair.send(&json!({}));
        let stats = pair.sandbox.stats();
        assert_eq!(
            (stats.connections, stats.requests, stats.messages),
            (sent, sent, sent)
        );
    }
}

#[test]
fn what_discord_refuses_comes_back_as_its_status() {
    let pair = Pair::start();
    let stranger = format!("{}x", pair.sandbox.token(0));
    let read_only = pair.sandbox.channel("read-only");
    let elsewhere = pair.sandbox.channel("elsewhere");
    let no = |kind: &str, code: u16| {
        json!({"code": code, "data": {"kind": kind, "delivered": "no", "retryable": false,
            "http_status": code}})
    };
    pair.check(
        &json!({"discord_token": stranger}),
        1,
        &no("invalid_token", 401),
    );
    pair.check(
        &json!({"discord_token": format!("{stranger}x")}),
        1,
        &json!({"message": "Invalid Discord token"}),
    );
    pair.check(&json!({"channel_id": read_only}), 1, &no("forbidden", 403));
    pair.check(
        &json!({"channel_id": read_only}),
        1,
        &json!({"message": "Bot doesn't have permission to send messages in this channel",
            "data": {"missing_permission": "SEND_MESSAGES", "discord_code": 50013}}),
    );
    pair.check(&json!({"channel_id": elsewhere}), 1, &no("forbidden", 403));
    pair.check(&json!({"channel_id": "1"}), 1, &no("not_found", 404));
    pair.check(
        &json!({"poll": {"question": {"text": "?"}, "answers": []}}),
        1,
        &json!({"code": 400, "data": {"kind": "rejected", "delivered": "no", "errors":
            [{"path": "poll.answers", "code": "BASE_TYPE_REQUIRED",
              "message": "This field is required"}]}}),
    );
    assert_eq!(pair.sandbox.stats().messages, 0);
}

#[test]
fn what_can_be_known_to_be_refused_is_refused_before_sending() {
    let pair = Pair::start();
    let long = "ä".repeat(2001);
    let cases = [
        (
            json!({"content": long}),
            "content: expected at most 2000 characters, not 2001",
        ),
        (
            json!({"content": " \n"}),
            "content: expected something to send: content, embeds, \
            components, poll or sticker_ids",
        ),
        (
            json!({"content": 5}),
            "content: expected a string, not a number",
        ),
        (
            json!({"channel_id": null}),
            "channel_id: expected a value, which is required",
        ),
        (
            json!({"channel_id": "general"}),
            "channel_id: expected a snowflake, a positive number in decimal",
        ),
        (
            json!({"channel_id": 0}),
            "channel_id: expected a snowflake, a positive number in decimal",
        ),
        (
            json!({"channel-id": "x"}),
            "channel-id: there is no such param",
        ),
        (json!({"contents": "x"}), "contents: there is no such param"),
        (
            json!({"embeds": [{"titel": "x"}]}),
            "embeds[0].titel: there is no such param",
        ),
        (
            json!({"embeds": vec![json!({"title": "x"}); 11]}),
            "embeds: expected a list of at most 10, not 11",
        ),
        (
            json!({"embeds": [{"title": "x".repeat(257)}]}),
            "embeds[0].title: expected at most 256 characters, not 257",
        ),
        (
            json!({"embeds": vec![json!({"description": "x".repeat(3001)}); 2]}),
            "embeds: expected at most 6000 characters in all, not 6002",
        ),
        (
            json!({"sticker_ids": ["1", "2", "3", "4"]}),
            "sticker_ids: expected a list of at most 3, not 4",
        ),
        (
            json!({"nonce": "n".repeat(26)}),
            "nonce: expected at most 25 characters, not 26",
        ),
        (
            json!({"nonce": 1.5}),
            "nonce: expected a text of at most 25 characters or an integer of 64 bits, not a fraction",
        ),
        (
            json!({"reply_to": "1", "message_reference": {"message_id": "1"}}),
            "reply_to: expected either this or message_reference, not both",
        ),
        (
            json!({"timeout_ms": 0}),
            "timeout_ms: expected a number of milliseconds from 1 to 30000",
        ),
        (
            json!({"timeout_ms": 30001}),
            "timeout_ms: expected a number of milliseconds from 1 to 30000",
        ),
        (
            json!({"discord_token": null}),
            "discord_token: the call needs a bot token, as this param \
            or in the header `Authorization: Bot <token>`",
        ),
        (
            json!({"discord_token": "a\r\nb"}),
            "discord_token: a bot token is made of visible ASCII characters only",
        ),
        (
            json!({"discord_token": "Bearer x"}),
            "discord_token: a bot token is wanted, not a Bearer token",
        ),
        (
            json!({"discord_token": "x".repeat(513)}),
            "discord_token: a bot token has at most 512 characters",
        ),
    ];
    for (more, message) in cases {
        let expected = json!({"code": -32602, "message": message,
            "data": {"kind": "invalid_params", "delivered": "no", "retryable": false}});
        pair.check(&more, 0, &expected);
    }
}

#[test]
fn a_token_given_in_another_param_is_not_repeated() {
    let pair = Pair::start();
    let token = pair.sandbox.token(0);
    for name in [
        "channel_id",
        "embeds",
        "allowed_mentions",
        "reply_to",
        "message_reference",
        "components",
        "sticker_ids",
        "poll",
        "flags",
        "tts",
        "shared_client_theme",
        "nonce",
        "guild_id",
        "timeout_ms",
        token,
    ] {
        let answer = pair.send(&json!({name: token}));
        assert_eq!(answer["error"]["code"], -32602, "{name}");
        assert!(!answer.to_string().contains(token), "{name}");
    }
}

#[test]
fn every_field_of_discords_body_arrives() {
    let pair = Pair::start();
    let first = pair.send(&json!({}))["result"]["message_id"].clone();
    let answer = pair.send(&json!({
        "embeds": [{"title": "a title", "color": 255, "fields": [{"name": "n", "value": "v"}],
            "timestamp": "2026-01-01T00:00:00Z", "footer": {"text": "f"}}],
        "components": [{"type": 1, "components":
            [{"type": 2, "style": 5, "label": "go", "url": "https://example.org"}]}],
        "poll": {"question": {"text": "q?"}, "answers": [{"poll_media": {"text": "a"}}]},
        "reply_to": first,
        "flags": 4,
        "tts": false,
        "nonce": 7,
        "guild_id": pair.sandbox.line.guild_id,
    }));
    let result = &answer["result"];
    assert_eq!(result["nonce"], "7", "{answer}");
    let link = format!(
        "https://discord.com/channels/{}/{}/{}",
        pair.sandbox.line.guild_id,
        pair.sandbox.channel("general"),
        result["message_id"].as_str().unwrap()
    );
    assert_eq!(result["url"], json!(link));
    let posted = pair.sandbox.messages("general").pop().unwrap();
    assert_eq!(posted["embeds"][0]["title"], "a title");
    assert_eq!(posted["embeds"][0]["fields"][0]["value"], "v");
    assert_eq!(posted["components"][0]["components"][0]["label"], "go");
    assert_eq!(posted["poll"]["question"]["text"], "q?");
    assert_eq!(posted["message_reference"]["message_id"], first);
    assert_eq!(posted["flags"], 4);
}

#[test]
fn nobody_is_pinged_unless_the_caller_says_so() {
    let pair = Pair::start();
    pair.send(&json!({"content": "@everyone"}));
    let mut null = pair.params(&json!({"content": "@everyone"}));
    null["allowed_mentions"] = Value::Null;
    assert!(pair.daemon.call(METHOD, &null)["result"].is_object());
    pair.send(&json!({"content": "@everyone", "allowed_mentions": {"parse": ["everyone"]}}));
    let pings: Vec<Value> = pair
        .sandbox
        .messages("general")
        .iter()
        .map(|message| message["mention_everyone"].clone())
        .collect();
    assert_eq!(pings, [json!(false), json!(false), json!(true)]);
}

#[test]
fn a_repeat_with_the_same_nonce_posts_nothing_and_returns_the_first_message() {
    let pair = Pair::start();
    let first = pair.send(&json!({"nonce": "once"}));
    let second = pair.send(&json!({"nonce": "once"}));
    assert_eq!(first["result"], second["result"]);
    assert_eq!(pair.sandbox.stats().messages, 1);
    pair.check(
        &json!({"nonce": "once", "content": "another"}),
        1,
        &json!({"code": 409, "data": {"kind": "nonce_reused", "delivered": "no",
            "message_id": first["result"]["message_id"]}}),
    );
    assert_eq!(pair.sandbox.stats().messages, 1);
}

#[test]
fn calls_without_a_nonce_are_different_messages() {
    let pair = Pair::start();
    let (first, second) = (pair.send(&json!({})), pair.send(&json!({})));
    assert_ne!(first["result"]["nonce"], second["result"]["nonce"]);
    assert_eq!(pair.sandbox.stats().messages, 2);
}

#[test]
fn params_may_come_by_position_and_ids_as_numbers() {
    let pair = Pair::start();
    let channel: u64 = pair.sandbox.channel("general").parse().unwrap();
    let params = json!([pair.sandbox.token(1), channel, "by position"]);
    let answer = pair.daemon.call(METHOD, &params);
    assert_eq!(
        answer["result"]["bot_info"],
        json!(pair.sandbox.line.bots[1].name)
    );
    assert_eq!(pair.sandbox.texts("general"), ["by position"]);
}

#[test]
fn the_token_may_come_in_the_header_and_the_param_wins() {
    let pair = Pair::start();
    let header = format!("Bot {}", pair.sandbox.token(0));
    let headers = [("authorization", header.as_str())];
    let call =
        |params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": params});
    let without = pair.params(&json!({"discord_token": null}));
    let by_header = pair.daemon.post(&headers, &call(without.clone())).json();
    assert_eq!(
        by_header["result"]["bot_id"],
        json!(pair.sandbox.line.bots[0].id)
    );
    let with = pair.params(&json!({"discord_token": pair.sandbox.token(1)}));
    let by_param = pair.daemon.post(&headers, &call(with)).json();
    assert_eq!(
        by_param["result"]["bot_id"],
        json!(pair.sandbox.line.bots[1].id)
    );
    let lower = header.replace("Bot", "bot");
    let by_lower = pair
        .daemon
        .post(&[("authorization", &lower)], &call(without.clone()));
    assert_eq!(by_lower.json()["result"]["success"], true);
    let headers = [("authorization", "Bearer x")];
    let refused = pair.daemon.post(&headers, &call(without)).json();
    assert_eq!(refused["error"]["code"], -32602);
}
