//! What the sandbox lets a bot do: roles, overwrites, kinds of channels, and what follows of them.

use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::sandbox::SandboxProcess;

fn post(sandbox: &SandboxProcess, bot: &str, channel: &str, body: &Value) -> Answer {
    sandbox.post(&sandbox.bot(bot).token, channel, body)
}

fn read(sandbox: &SandboxProcess, bot: &str, channel: &str, path: &str) -> Answer {
    let path = format!("/channels/{}{path}", sandbox.channel(channel));
    sandbox.get(&sandbox.bot(bot).token, &path)
}

/// Gives the code of an error, and 0 for none.
fn code(answer: &Answer) -> u64 {
    if answer.status == 200 {
        return 0;
    }
    answer.json()["code"].as_u64().unwrap()
}

#[test]
fn message_is_posted_where_kind_and_permissions_let_it() {
    let sandbox = SandboxProcess::start(&[]);
    for (channel, ranger, warden, keeper, sleeper) in [
        ("welcome", 0, 0, 0, 50013),
        ("notices", 0, 0, 0, 50013),
        ("lobby", 0, 0, 0, 50013),
        ("podium", 0, 0, 0, 50013),
        ("workbench", 0, 0, 0, 50013),
        ("first-idea", 0, 0, 0, 50013),
        ("Talk", 50008, 50008, 50008, 50008),
        ("ideas", 50008, 50008, 50008, 50008),
        ("pictures", 50008, 50008, 50008, 50008),
        ("crew-only", 0, 0, 0, 50013),
        ("no-rangers", 50001, 0, 0, 50013),
        ("crew-or-quiet", 0, 0, 0, 50013),
        ("locked", 50001, 0, 0, 50001),
        ("soundproof", 50013, 0, 0, 50013),
    ] {
        let body = json!({ "content": "hello" });
        let bots = ["ranger", "warden", "keeper", "sleeper"];
        let found = bots.map(|bot| code(&post(&sandbox, bot, channel, &body)));
        assert_eq!(found, [ranger, warden, keeper, sleeper], "{channel}");
        assert_eq!(code(&post(&sandbox, "scout", channel, &body)), 50001);
    }
}

#[test]
fn channel_that_is_denied_is_listed_but_not_shown() {
    let sandbox = SandboxProcess::start(&[]);
    let path = format!("/guilds/{}/channels", sandbox.line.workshop.guild_id);
    let listed = sandbox.get(&sandbox.bot("ranger").token, &path).json();
    let listed = listed.as_array().unwrap();
    for (channel, expected) in [("locked", 50001), ("no-rangers", 50001), ("crew-only", 0)] {
        assert!(listed.iter().any(|it| it["name"] == channel), "{channel}");
        assert_eq!(code(&read(&sandbox, "ranger", channel, "")), expected);
        assert_eq!(
            code(&read(&sandbox, "ranger", channel, "/messages")),
            expected
        );
        assert_eq!(code(&read(&sandbox, "warden", channel, "")), 0);
    }
}

#[test]
fn history_without_permission_is_empty_and_a_message_of_it_is_forbidden() {
    let sandbox = SandboxProcess::start(&[]);
    let message = post(
        &sandbox,
        "ranger",
        "no-history",
        &json!({ "content": "seen" }),
    )
    .json();
    let id = message["id"].as_str().unwrap();
    let one = format!("/messages/{id}");
    for (bot, count, expected) in [("ranger", 0, 50013), ("keeper", 1, 0)] {
        let list = read(&sandbox, bot, "no-history", "/messages").json();
        assert_eq!(list.as_array().unwrap().len(), count, "{bot}");
        assert_eq!(code(&read(&sandbox, bot, "no-history", &one)), expected);
    }
    let reply = json!({ "content": "re", "message_reference": { "message_id": id } });
    let answer = post(&sandbox, "ranger", "no-history", &reply);
    assert_eq!((answer.status, code(&answer)), (403, 160_002));
    assert_eq!(code(&post(&sandbox, "keeper", "no-history", &reply)), 0);
    for channel in ["Talk", "ideas"] {
        let answer = read(&sandbox, "keeper", channel, "/messages");
        assert_eq!((answer.status, code(&answer)), (400, 50024));
    }
    assert_eq!(code(&read(&sandbox, "ranger", "soundproof", "")), 0);
}

#[test]
fn parts_of_a_message_need_permissions_of_their_own() {
    let sandbox = SandboxProcess::start(&[]);
    let embed = json!({ "embeds": [{ "title": "t" }] });
    let poll = json!({ "poll": {
        "question": { "text": "?" }, "answers": [{ "poll_media": { "text": "a" } }],
    } });
    for body in [&embed, &poll] {
        assert_eq!(
            code(&post(&sandbox, "ranger", "plain", body)),
            50013,
            "{body}"
        );
        assert_eq!(code(&post(&sandbox, "warden", "plain", body)), 0, "{body}");
        assert_eq!(code(&post(&sandbox, "ranger", "talk", body)), 0, "{body}");
    }
    let spoken = json!({ "content": "c", "tts": true });
    for (channel, is_spoken) in [("plain", false), ("talk", true)] {
        let message = post(&sandbox, "ranger", channel, &spoken).json();
        assert_eq!(message["tts"], is_spoken, "{channel}");
    }
}

#[test]
fn everyone_and_roles_are_mentioned_by_those_who_may() {
    let sandbox = SandboxProcess::start(&[]);
    let (crew, quiet) = (sandbox.role("crew"), sandbox.role("quiet"));
    let content = format!("@everyone <@&{crew}> <@&{quiet}> <@&5>");
    let both = json!([crew, quiet]);
    for (bot, channel, allowed, everyone, roles) in [
        ("ranger", "talk", Value::Null, false, json!([crew])),
        ("ranger", "crew-or-quiet", Value::Null, true, both.clone()),
        ("warden", "talk", Value::Null, true, both),
        ("warden", "talk", json!({ "parse": [] }), false, json!([])),
        (
            "warden",
            "talk",
            json!({ "roles": [quiet] }),
            false,
            json!([quiet]),
        ),
        (
            "ranger",
            "talk",
            json!({ "parse": ["roles"] }),
            false,
            json!([crew]),
        ),
    ] {
        let body = json!({ "content": content, "allowed_mentions": allowed });
        let message = post(&sandbox, bot, channel, &body).json();
        assert_eq!(message["mention_everyone"], everyone, "{bot} {channel}");
        assert_eq!(message["mention_roles"], roles, "{bot} {channel} {allowed}");
    }
}
