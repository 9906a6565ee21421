//! `discord.listChannels` and `discord.test` against the sandbox's guilds.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    sandbox::SandboxProcess,
    upstream::{Upstream, http},
};

fn start() -> (SandboxProcess, Daemon) {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    (sandbox, daemon)
}

/// Calls a method as the bot of this name, with `more` as its params.
fn call(pair: &(SandboxProcess, Daemon), method: &str, bot: &str, more: &Value) -> Value {
    let mut params = more.clone();
    params["discord_token"] = json!(pair.0.bot(bot).token);
    pair.1.call(method, &params)
}

fn names(answer: &Value) -> Vec<&str> {
    let channels = answer["result"]["channels"].as_array();
    let channels = channels.unwrap_or_else(|| panic!("{answer}"));
    channels
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[test]
fn channels_are_listed_as_discord_shows_them() {
    let pair = start();
    let answer = call(
        &pair,
        "discord.listChannels",
        "keeper",
        &json!({"types": "all"}),
    );
    let expected = [
        "welcome",
        "notices",
        "lobby",
        "Talk",
        "talk",
        "ideas",
        "pictures",
        "table",
        "podium",
        "Back Room",
        "crew-only",
        "no-rangers",
        "crew-or-quiet",
        "plain",
        "no-history",
        "locked",
        "soundproof",
        "Attic",
        "adults",
    ];
    assert_eq!(names(&answer), expected);
    let result = &answer["result"];
    assert_eq!(result["count"], expected.len());
    assert_eq!(result["bot_info"], "keeper");
    assert_eq!(result["bot_id"], json!(pair.0.bot("keeper").id));
    assert_eq!(result.get("errors"), None);
    let of = |name: &str| {
        let at = expected.iter().position(|it| *it == name).unwrap();
        result["channels"][at].clone()
    };
    assert_eq!(of("notices")["type"], "announcement");
    assert_eq!(of("Talk")["type"], "category");
    assert_eq!(of("podium")["type"], "stage");
    assert_eq!(of("talk")["parent_id"], of("Talk")["id"]);
    assert!(of("talk")["topic"].is_string());
    assert_eq!(of("adults")["nsfw"], true);
    assert_eq!(of("talk")["guild_id"], json!(pair.0.line.workshop.guild_id));
}

#[test]
fn the_kinds_asked_for_are_listed() {
    let pair = start();
    let list = |types: Value| {
        call(
            &pair,
            "discord.listChannels",
            "keeper",
            &json!({"types": types}),
        )
    };
    assert_eq!(
        names(&list(json!(["forum", "media"]))),
        ["ideas", "pictures"]
    );
    assert_eq!(
        names(&list(json!("voice"))),
        ["lobby", "table", "soundproof"]
    );
    assert_eq!(names(&list(json!([]))), [""; 0]);
    let refused = list(json!(["texts"]));
    assert_eq!(refused["error"]["code"], -32602);
    assert_eq!(
        refused["error"]["message"],
        "types[0]: expected text, announcement, forum, media, voice, stage, category, or \"all\""
    );
}

#[test]
fn one_guild_may_be_named_by_either_name() {
    let pair = start();
    let guild = pair.0.line.guild_id.as_str();
    for name in ["guild_id", "server_id"] {
        let answer = call(
            &pair,
            "discord.listChannels",
            "scout",
            &json!({name: guild}),
        );
        assert_eq!(names(&answer), ["general", "random", "read-only"]);
    }
    let by_position = json!([pair.0.bot("scout").token, guild]);
    let answer = pair.1.call("discord.listChannels", &by_position);
    assert_eq!(answer["result"]["count"], 3);
    let elsewhere = json!({"guild_id": pair.0.line.workshop.guild_id});
    let refused = call(&pair, "discord.listChannels", "scout", &elsewhere);
    assert_eq!(refused["error"]["code"], 403, "{refused}");
    assert_eq!(refused["error"]["data"]["delivered"], "no");
    let nobody = json!({"discord_token": "x.y.z"});
    let refused = pair.1.call("discord.listChannels", &nobody);
    assert_eq!(refused["error"]["code"], 401);
}

#[test]
fn a_bot_in_201_guilds_is_read_with_few_requests_on_few_connections() {
    let pair = start();
    let answer = call(&pair, "discord.listChannels", "drifter", &json!({}));
    let result = &answer["result"];
    assert_eq!(result["count"], 2 * 201, "{answer:.300}");
    let guilds: Vec<&str> = result["channels"]
        .as_array()
        .unwrap()
        .iter()
        .step_by(2)
        .map(|channel| channel["guild"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..201)
        .map(|number| format!("Drift {number:03}"))
        .collect();
    assert_eq!(guilds, expected);
    for pair in result["channels"].as_array().unwrap().chunks(2) {
        assert_eq!(
            (&pair[0]["name"], &pair[1]["name"]),
            (&json!("shore"), &json!("harbour"))
        );
    }
    let stats = pair.0.stats();
    assert!(stats.requests <= 3 + 201, "{stats:?}");
    assert!(stats.connections <= 6, "{stats:?}");
}

#[test]
fn pages_of_guilds_that_do_not_go_on_are_asked_for_no_further() {
    let guilds: Vec<Value> = (1..=200)
        .map(|id: u64| json!({"id": id.to_string(), "name": "again"}))
        .collect();
    let guilds = Value::from(guilds).to_string();
    let upstream = Upstream::start(move |request, stream| {
        let path = request.split(' ').nth(1).unwrap();
        let body = match path.split('?').next().unwrap() {
            "/api/v10/users/@me" => r#"{"id":"1","username":"bot"}"#,
            "/api/v10/users/@me/guilds" => &guilds,
            _ => "[]",
        };
        stream
            .write_all(http("200 OK", "", body).as_bytes())
            .unwrap();
    });
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let answer = daemon.call("discord.listChannels", &json!({"discord_token": "t"}));
    assert_eq!(answer["result"]["count"], 0, "{answer}");
    // The bot, two pages, and the channels of each guild once.
    assert_eq!(upstream.requests(), 1 + 2 + 200);
}

#[test]
fn a_guild_that_fails_does_not_spoil_the_rest() {
    let pair = start();
    let all = call(&pair, "discord.listChannels", "drifter", &json!({}));
    let guild = all["result"]["channels"][20]["guild_id"].as_str().unwrap();
    pair.0.fault(
        &json!({"match": {"path": format!("/guilds/{guild}/channels")},
        "times": 0, "do": {"status": 500, "body": "oops"}}),
    );
    let answer = call(&pair, "discord.listChannels", "drifter", &json!({}));
    let result = &answer["result"];
    assert_eq!(result["count"], 2 * 200);
    assert_eq!(result["errors"].as_array().unwrap().len(), 1);
    assert_eq!(result["errors"][0]["guild_id"], guild);
    assert_eq!(result["errors"][0]["code"], 503);
}

#[test]
fn a_bot_in_no_guild_has_no_channels() {
    let pair = start();
    let answer = call(&pair, "discord.listChannels", "hermit", &json!({}));
    assert_eq!(answer["result"]["count"], 0);
}

#[test]
fn a_test_message_names_its_bot_in_the_first_channel_that_can_be_posted_in() {
    let pair = start();
    for (bot, channel) in [
        ("scout", "general"),
        ("ranger", "welcome"),
        ("drifter", "shore"),
    ] {
        let answer = call(&pair, "discord.test", bot, &json!({}));
        let result = &answer["result"];
        assert_eq!(result["success"], true, "{answer}");
        assert_eq!(result["channel_name"], channel, "{bot}");
        assert_eq!(result["bot_info"], bot);
        assert_eq!(result["dry_run"], false);
        let (guild, channel) = (&result["guild_id"], &result["channel_id"]);
        let url = format!(
            "https://discord.com/channels/{}/{}/{}",
            guild.as_str().unwrap(),
            channel.as_str().unwrap(),
            result["message_id"].as_str().unwrap()
        );
        assert_eq!(result["url"], json!(url));
    }
    let posted = pair.0.messages("general").pop().unwrap();
    assert!(posted["content"].as_str().unwrap().contains("scout"));
}

#[test]
fn a_dry_run_posts_nothing_and_tells_where_it_would_be() {
    let pair = start();
    let answer = call(&pair, "discord.test", "scout", &json!({"dry_run": true}));
    let result = &answer["result"];
    assert_eq!(result["dry_run"], true, "{answer}");
    assert_eq!(result["channel_name"], "general");
    assert_eq!(result.get("message_id"), None);
    let stats = pair.0.stats();
    assert_eq!(stats.messages, 0);
}

#[test]
fn a_test_message_may_have_its_channel_and_its_text() {
    let pair = start();
    let random = pair.0.channel("random");
    let more = json!({"channel_id": random, "content": "mine"});
    let answer = call(&pair, "discord.test", "scribe", &more);
    assert_eq!(answer["result"]["channel_name"], "random", "{answer}");
    assert!(answer["result"]["guild_name"].is_string());
    assert_eq!(pair.0.texts("random"), ["mine"]);
    let read_only = json!({"channel_id": pair.0.channel("read-only")});
    let refused = call(&pair, "discord.test", "scout", &read_only);
    assert_eq!(refused["error"]["code"], 403);
    let long = json!({"content": "x".repeat(2001)});
    let refused = call(&pair, "discord.test", "scout", &long);
    assert_eq!(refused["error"]["code"], -32602);
}

#[test]
fn where_no_channel_can_be_posted_in_the_guilds_looked_at_are_told() {
    let pair = start();
    let refused = call(&pair, "discord.test", "hermit", &json!({}));
    let error = &refused["error"];
    assert_eq!(
        (&error["code"], &error["data"]["guilds"]),
        (&json!(404), &json!([]))
    );
    let refused = call(&pair, "discord.test", "sleeper", &json!({}));
    let data = &refused["error"]["data"];
    assert_eq!(data["kind"], "not_found", "{refused}");
    assert_eq!(data["guilds"], json!([pair.0.line.workshop.guild_id]));
    assert_eq!(data["delivered"], "no");
}

#[test]
fn a_test_message_is_refused_before_anything_is_asked() {
    let pair = start();
    for more in [
        json!({"content": "x".repeat(2001), "dry_run": true}),
        json!({"content": " "}),
        json!({"nonce": "n".repeat(26)}),
        json!({"types": []}),
    ] {
        let refused = call(&pair, "discord.test", "hermit", &more);
        assert_eq!(refused["error"]["code"], -32602, "{more:.60}");
    }
    assert_eq!(pair.0.stats().requests, 0);
}

#[test]
fn a_test_message_whose_answer_is_lost_can_be_repeated_with_its_nonce() {
    let pair = start();
    pair.0
        .fault(&json!({"match": {"method": "POST", "path": "/channels/"},
        "times": 3, "do": {"drop": "after"}}));
    let lost = call(&pair, "discord.test", "scout", &json!({}));
    let data = &lost["error"]["data"];
    assert_eq!(data["delivered"], "unknown", "{lost}");
    let again = call(
        &pair,
        "discord.test",
        "scout",
        &json!({"nonce": data["nonce"]}),
    );
    assert_eq!(again["result"]["success"], true, "{again}");
    assert_eq!(pair.0.stats().messages, 1);
}

#[test]
fn a_channel_of_another_guild_than_the_one_named_is_refused() {
    let pair = start();
    let more = json!({"channel_id": pair.0.channel("general"),
        "guild_id": pair.0.line.workshop.guild_id});
    let refused = call(&pair, "discord.test", "scout", &more);
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(refused["error"]["data"]["path"], "guild_id");
    assert_eq!(pair.0.stats().messages, 0);
}

#[test]
fn null_is_as_good_as_nothing() {
    let pair = start();
    let nothing = json!({"types": null, "guild_id": null, "timeout_ms": null});
    assert_eq!(
        call(&pair, "discord.listChannels", "scout", &nothing)["result"]["count"],
        3
    );
    let nothing = json!({"dry_run": null, "content": null, "channel_id": null, "nonce": null});
    assert_eq!(
        call(&pair, "discord.test", "scout", &nothing)["result"]["success"],
        true
    );
}
