//! The sandbox's messages: what it takes, what it refuses, how it writes them.

use serde_json::{Value, json};
use twilight_model::channel::Message;
use twilight_model::channel::message::{MessageFlags, MessageType};

use crate::support::http::Answer;
use crate::support::sandbox::SandboxProcess;

/// Posts as the first bot to `general`.
fn post(sandbox: &SandboxProcess, body: &Value) -> Answer {
    sandbox.post(sandbox.token(0), "general", body)
}

/// Posts a body and checks the tree of errors it is refused with.
fn check(sandbox: &SandboxProcess, body: &Value, errors: &Value) {
    let answer = post(sandbox, body);
    assert_eq!(answer.status, 400, "{body}");
    let expected = json!({ "code": 50035, "message": "Invalid Form Body", "errors": errors });
    assert_eq!(answer.json(), expected, "{body}");
}

/// Gives the list of one error.
fn error(code: &str, message: &str) -> Value {
    json!({ "_errors": [{ "code": code, "message": message }] })
}

/// Gives the list that says a text or a list is too long.
fn too_long(max: usize) -> Value {
    error(
        "BASE_TYPE_MAX_LENGTH",
        &format!("Must be {max} or fewer in length."),
    )
}

/// Gives the list that says a field is missing.
fn missing() -> Value {
    error("BASE_TYPE_REQUIRED", "This field is required")
}

#[test]
fn message_comes_back_as_it_was_posted() {
    let sandbox = SandboxProcess::start(&[]);
    let body = json!({
        "content": "  hello\n",
        "tts": true,
        "nonce": "a nonce",
        "flags": 1 << 12,
        "sticker_ids": ["123"],
        "embeds": [{
            "title": "title",
            "color": 255,
            "timestamp": "2026-11-05T12:00:00Z",
            "fields": [{ "name": "name", "value": "value" }],
            "author": { "name": "author" },
            "footer": { "text": "footer" },
            "image": { "url": "https://example.com/a.png" },
        }],
        "components": [{ "type": 1, "components": [
            { "type": 2, "style": 1, "label": "press", "custom_id": "press" },
        ] }],
        "poll": {
            "question": { "text": "which?" },
            "answers": [
                { "poll_media": { "text": "this" } },
                { "poll_media": { "text": "that", "emoji": { "name": "👍" } } },
            ],
        },
    });
    let answer = post(&sandbox, &body);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let message: Message = answer.parse();
    assert_eq!(message.content, "hello");
    assert_eq!(message.kind, MessageType::Regular);
    assert_eq!(message.author.id.to_string(), sandbox.line.bots[0].id);
    assert_eq!(message.channel_id.to_string(), sandbox.channel("general"));
    assert_eq!(message.flags, Some(MessageFlags::SUPPRESS_NOTIFICATIONS));
    assert!(message.tts && !message.pinned && !message.mention_everyone);
    assert_eq!(message.embeds[0].kind, "rich");
    assert!(!message.embeds[0].fields[0].inline);
    assert_eq!(message.sticker_items[0].id.get(), 123);
    assert_eq!(message.components.len(), 1);
    assert_eq!(message.poll.unwrap().answers[1].answer_id, 2);
    assert_eq!(answer.json()["nonce"], "a nonce");
    let created = (message.id.get() >> 22) + 1_420_070_400_000;
    let micros = u64::try_from(message.timestamp.as_micros()).unwrap();
    assert_eq!(micros, created * 1000);

    let path = format!("/channels/{}/messages/{}", message.channel_id, message.id);
    let again = sandbox.get(sandbox.token(1), &path);
    assert_eq!(again.json(), answer.json());
}

#[test]
fn each_bot_posts_under_its_own_name() {
    let sandbox = SandboxProcess::start(&[]);
    for (index, bot) in sandbox.line.bots.iter().enumerate() {
        let body = json!({ "content": bot.name });
        sandbox.post(sandbox.token(index), "random", &body);
    }
    for (message, bot) in sandbox.messages("random").iter().zip(&sandbox.line.bots) {
        assert_eq!(message["content"], bot.name);
        assert_eq!(message["author"]["username"], bot.name);
        assert_eq!(message["author"]["id"], bot.id);
    }
}

#[test]
fn empty_message_is_refused() {
    let sandbox = SandboxProcess::start(&[]);
    for body in [
        json!({}),
        json!({ "content": null }),
        json!({ "content": " \n\t", "embeds": [], "sticker_ids": [], "components": [] }),
    ] {
        let answer = post(&sandbox, &body);
        assert_eq!(answer.status, 400);
        let expected = json!({ "code": 50006, "message": "Cannot send an empty message" });
        assert_eq!(answer.json(), expected);
    }
    assert_eq!(sandbox.stats().messages, 0);
}

#[test]
fn channel_is_checked_before_the_body() {
    let sandbox = SandboxProcess::start(&[]);
    let token = sandbox.token(0);
    for (channel, code, message) in [
        ("read-only", 50013, "Missing Permissions"),
        ("elsewhere", 50001, "Missing Access"),
    ] {
        let answer = sandbox.post(token, channel, &json!({}));
        assert_eq!(answer.status, 403);
        assert_eq!(answer.json(), json!({ "code": code, "message": message }));
    }
    assert_eq!(sandbox.messages("read-only"), Vec::<Value>::new());
}

#[test]
fn body_that_is_no_json_object_is_refused() {
    let sandbox = SandboxProcess::start(&[]);
    let path = format!("/api/v10/channels/{}/messages", sandbox.channel("general"));
    let authorization = format!("Bot {}", sandbox.token(0));
    let send = |kind: &str, body: &str| {
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", kind),
        ];
        let mut client = sandbox.client();
        let answer = client.send("POST", &path, &headers, body.as_bytes());
        assert_eq!(answer.status, 400);
        answer.json()
    };
    let sentence = "The request body contains invalid JSON.";
    let expected = json!({ "code": 50109, "message": sentence });
    for body in ["", "{", "{'content': 1}", "\"\u{1}\""] {
        assert_eq!(send("application/json", body), expected, "{body}");
    }
    let list = send("application/json; charset=utf-8", "[]");
    let sentence = "Only dictionaries may be used in a ModelType";
    assert_eq!(list["errors"], error("MODEL_TYPE_CONVERT", sentence));
    let text = send("text/plain", "{}");
    assert_eq!(text["code"], 50035);
    assert_eq!(text["errors"]["_errors"][0]["code"], "CONTENT_TYPE_INVALID");
}

#[test]
fn lengths_are_checked_and_counted_in_characters() {
    let sandbox = SandboxProcess::start(&[]);
    let text = |length: usize| "ü".repeat(length);
    let body = json!({ "content": text(2000) });
    assert_eq!(post(&sandbox, &body).status, 200);
    let title = json!({ "title": "t" });
    for (name, value, max) in [
        ("content", json!(text(2001)), 2000),
        ("embeds", json!(vec![title; 11]), 10),
        ("sticker_ids", json!(["1", "2", "3", "4"]), 3),
    ] {
        check(
            &sandbox,
            &json!({ name: value }),
            &json!({ name: too_long(max) }),
        );
    }
    let body = json!({ "content": "c", "nonce": "x".repeat(26) });
    let sentence = "Must be 25 or fewer characters long.";
    let errors = json!({ "nonce": error("NONCE_TYPE_TOO_LONG", sentence) });
    check(&sandbox, &body, &errors);
}

#[test]
fn each_part_of_an_embed_has_its_limit() {
    let sandbox = SandboxProcess::start(&[]);
    let text = |length: usize| "ü".repeat(length);
    let named = json!({ "name": "n", "value": "v" });
    let long = json!({ "name": text(257), "value": text(1025) });
    let long_errors = json!({ "name": too_long(256), "value": too_long(1024) });
    let bare_errors = json!({ "name": missing(), "value": missing() });
    for (name, value, errors) in [
        ("title", json!(text(257)), too_long(256)),
        ("description", json!(text(4097)), too_long(4096)),
        (
            "footer",
            json!({ "text": text(2049) }),
            json!({ "text": too_long(2048) }),
        ),
        (
            "author",
            json!({ "name": text(257) }),
            json!({ "name": too_long(256) }),
        ),
        ("fields", json!(vec![named; 26]), too_long(25)),
        ("fields", json!([long]), json!({ "0": long_errors })),
        (
            "fields",
            json!([{ "name": " " }]),
            json!({ "0": bare_errors }),
        ),
        ("description", Value::Null, missing()),
    ] {
        let body = json!({ "embeds": [{ name: value }] });
        check(
            &sandbox,
            &body,
            &json!({ "embeds": { "0": { name: errors } } }),
        );
    }
}

#[test]
fn characters_of_all_embeds_together_are_limited() {
    let sandbox = SandboxProcess::start(&[]);
    let embeds = |last: usize| {
        let embed = json!({ "description": "x".repeat(2990), "title": "x".repeat(10) });
        json!({ "embeds": [embed, { "description": "x".repeat(last) }] })
    };
    assert_eq!(post(&sandbox, &embeds(3000)).status, 200);
    let sentence = "Embed size exceeds maximum size of 6000";
    let errors = json!({ "embeds": error("MAX_EMBED_SIZE_EXCEEDED", sentence) });
    check(&sandbox, &embeds(3001), &errors);
}

#[test]
fn wrong_kinds_are_all_named_at_once() {
    let sandbox = SandboxProcess::start(&[]);
    let body = json!({
        "content": ["a"],
        "tts": "yes",
        "flags": "many",
        "embeds": { "title": "t" },
        "nonce": 1.5,
        "enforce_nonce": 1,
        "sticker_ids": ["a"],
        "allowed_mentions": { "parse": ["all"], "users": ["b"] },
        "message_reference": [],
    });
    let model = "Only dictionaries may be used in a ModelType";
    let choices = "Value must be one of ('users', 'roles', 'everyone').";
    let coerce = |text: &str, kind: &str| {
        let sentence = format!("Value \"{text}\" is not {kind}.");
        error("NUMBER_TYPE_COERCE", &sentence)
    };
    let boolean = error("BOOLEAN_TYPE_CONVERT", "Must be either true or false.");
    let string = "Could not interpret \"[\"a\"]\" as string.";
    let errors = json!({
        "content": error("STRING_TYPE_CONVERT", string),
        "tts": boolean,
        "flags": coerce("many", "int"),
        "embeds": error("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType"),
        "nonce": error("NONCE_TYPE_INVALID_TYPE", "This field must be a string or integer."),
        "enforce_nonce": boolean,
        "sticker_ids": { "0": coerce("a", "snowflake") },
        "allowed_mentions": {
            "parse": { "0": error("BASE_TYPE_CHOICES", choices) },
            "users": { "0": coerce("b", "snowflake") },
        },
        "message_reference": error("MODEL_TYPE_CONVERT", model),
    });
    check(&sandbox, &body, &errors);
}

#[test]
fn reply_carries_what_it_answers_until_that_is_gone() {
    let sandbox = SandboxProcess::start(&["--history", "2"]);
    let first: Message = post(&sandbox, &json!({ "content": "first" })).parse();
    let reference = json!({ "message_id": first.id });
    let body = json!({ "content": "second", "message_reference": reference });
    let reply = sandbox.post(sandbox.token(1), "general", &body);
    let message: Message = reply.parse();
    assert_eq!(message.kind, MessageType::Reply);
    assert_eq!(message.reference.unwrap().message_id, Some(first.id));
    assert_eq!(message.referenced_message.unwrap().content, "first");
    assert_eq!(message.mentions[0].id, first.author.id);

    post(&sandbox, &json!({ "content": "third" }));
    assert_eq!(
        sandbox.messages("general")[0]["referenced_message"],
        Value::Null
    );
    let errors = json!({
        "message_reference": error("REPLIES_UNKNOWN_MESSAGE", "Unknown message"),
    });
    check(&sandbox, &body, &errors);
    let reference = json!({ "message_id": first.id, "fail_if_not_exists": false });
    let body = json!({ "content": "alone", "message_reference": reference });
    let message: Message = post(&sandbox, &body).parse();
    assert_eq!(
        (message.kind, message.reference),
        (MessageType::Regular, None)
    );
}

#[test]
fn mentions_are_those_that_are_allowed() {
    let sandbox = SandboxProcess::start(&[]);
    let [one, two] = [0, 1].map(|index| sandbox.line.bots[index].id.clone());
    let content = format!("@everyone <@{one}> <@!{two}> <@{two}> <@5> <@");
    for (allowed, everyone, users) in [
        (Value::Null, true, vec![&one, &two]),
        (json!({}), false, vec![]),
        (json!({ "parse": ["everyone"] }), true, vec![]),
        (json!({ "parse": ["users"] }), false, vec![&one, &two]),
        (json!({ "users": [two] }), false, vec![&two]),
    ] {
        let body = json!({ "content": content, "allowed_mentions": allowed });
        let message = post(&sandbox, &body).json();
        assert_eq!(message["mention_everyone"], everyone, "{allowed}");
        let mentions = message["mentions"].as_array().unwrap();
        let ids: Vec<&Value> = mentions.iter().map(|user| &user["id"]).collect();
        assert_eq!(ids, users, "{allowed}");
    }
    let body = json!({ "content": "nobody" });
    assert_eq!(post(&sandbox, &body).json()["mention_everyone"], false);
    let sentence = "parse:[\"users\"] and users: [ids...] are mutually exclusive.";
    let code = "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE";
    let errors = json!({ "allowed_mentions": error(code, sentence) });
    let allowed = json!({ "parse": ["users"], "users": [one] });
    let body = json!({ "content": "both", "allowed_mentions": allowed });
    check(&sandbox, &body, &errors);
}
