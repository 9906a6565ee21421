//! The sandbox's forwards and components.

use serde_json::{Value, json};
use twilight_model::channel::Message;
use twilight_model::channel::message::MessageFlags;

use crate::support::http::Answer;
use crate::support::sandbox::SandboxProcess;

/// Posts as the first bot to `general`.
fn post(sandbox: &SandboxProcess, body: &Value) -> Answer {
    sandbox.post(sandbox.token(0), "general", body)
}

fn reference(message: &Value) -> Value {
    let (channel, id) = (&message["channel_id"], &message["id"]);
    json!({ "message_reference": { "type": 1, "channel_id": channel, "message_id": id } })
}

#[test]
fn forward_shows_the_message_as_it_was() {
    let sandbox = SandboxProcess::start(&[]);
    let body = json!({ "content": "first", "embeds": [{ "title": "t" }] });
    let first = post(&sandbox, &body).json();
    let answer = sandbox.post(sandbox.token(1), "random", &reference(&first));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let message: Message = answer.parse();
    assert_eq!(
        (message.content.as_str(), message.referenced_message),
        ("", None)
    );
    assert_eq!(message.flags, Some(MessageFlags::from_bits_retain(1 << 14)));
    let forwarded = answer.json();
    assert_eq!(forwarded["type"], 0);
    assert_eq!(forwarded["message_reference"]["type"], 1);
    assert_eq!(
        forwarded["message_reference"]["channel_id"],
        first["channel_id"]
    );
    let snapshot = &forwarded["message_snapshots"][0]["message"];
    for name in ["content", "embeds", "timestamp", "flags", "components"] {
        assert_eq!(snapshot[name], first[name], "{name}");
    }
    assert_eq!(snapshot["author"], Value::Null);
    let again = post(&sandbox, &reference(&forwarded)).json();
    assert_eq!(again["message_snapshots"], forwarded["message_snapshots"]);
}

#[test]
fn forward_of_what_is_not_there_or_not_to_be_read_is_refused() {
    let sandbox = SandboxProcess::start(&[]);
    let ranger = &sandbox.bot("ranger").token;
    let at = |channel: &str| {
        let id = sandbox.channel(channel);
        let body = reference(&json!({ "channel_id": id, "id": "7" }));
        let answer = sandbox.post(ranger, "talk", &body);
        (answer.status, answer.json()["code"].as_u64().unwrap())
    };
    assert_eq!(at("welcome"), (400, 50035));
    assert_eq!(at("general"), (403, 50001));
    assert_eq!(at("locked"), (403, 50001));
    assert_eq!(at("no-history"), (403, 160_009));
    let body = json!({ "message_reference": { "type": 1, "message_id": "7" } });
    let errors = &post(&sandbox, &body).json()["errors"]["message_reference"];
    assert_eq!(
        errors["channel_id"]["_errors"][0]["code"],
        "BASE_TYPE_REQUIRED"
    );
    let body = json!({ "message_reference": { "type": 2, "message_id": "7" } });
    let errors = &post(&sandbox, &body).json()["errors"]["message_reference"];
    assert_eq!(errors["type"]["_errors"][0]["code"], "BASE_TYPE_CHOICES");
}

/// Gives the first code in a tree of errors, and the path to it.
fn first_error(tree: &Value) -> (String, String) {
    let (mut tree, mut path) = (tree, Vec::new());
    while let Some((key, below)) = tree.as_object().and_then(|it| it.iter().next()) {
        if key == "_errors" {
            let code = below[0]["code"].as_str().unwrap();
            return (path.join("."), code.to_owned());
        }
        path.push(key.as_str());
        tree = below;
    }
    panic!("{tree} has no error");
}

#[test]
fn bad_component_is_named_by_its_path() {
    let sandbox = SandboxProcess::start(&[]);
    let button = json!({ "type": 2, "style": 1, "label": "b", "custom_id": "b" });
    let row = |children: Value| json!([{ "type": 1, "components": children }]);
    let with = |name: &str, value: Value| {
        let mut changed = button.clone();
        changed[name] = value;
        row(json!([changed]))
    };
    for (components, path, code) in [
        (json!([{}]), "0.type", "BASE_TYPE_REQUIRED"),
        (json!([{ "type": 99 }]), "0.type", "UNION_TYPE_CHOICES"),
        (json!([button]), "0.type", "UNION_TYPE_CHOICES"),
        (json!(["row"]), "0", "MODEL_TYPE_CONVERT"),
        (row(json!([])), "0.components", "BASE_TYPE_BAD_LENGTH"),
        (
            row(json!(vec![&button; 6])),
            "0.components",
            "BASE_TYPE_BAD_LENGTH",
        ),
        (row(Value::Null), "0.components", "BASE_TYPE_REQUIRED"),
        (
            row(json!([{ "type": 1 }])),
            "0.components.0.type",
            "UNION_TYPE_CHOICES",
        ),
        (
            with("style", json!(7)),
            "0.components.0.style",
            "BASE_TYPE_CHOICES",
        ),
        (
            with("custom_id", Value::Null),
            "0.components.0.custom_id",
            "BASE_TYPE_REQUIRED",
        ),
        (
            with("style", json!(5)),
            "0.components.0.url",
            "BASE_TYPE_REQUIRED",
        ),
        (
            with("label", json!("x".repeat(81))),
            "0.components.0.label",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            with("label", Value::Null),
            "0.components.0",
            "BUTTON_COMPONENT_INVALID_LABEL_OR_EMOJI",
        ),
        (
            row(json!([button, button])),
            "0.components.1.custom_id",
            "COMPONENT_CUSTOM_ID_DUPLICATED",
        ),
        (
            row(json!([{ "type": 3, "options": [] }])),
            "0.components.0.custom_id",
            "BASE_TYPE_REQUIRED",
        ),
    ] {
        let answer = post(
            &sandbox,
            &json!({ "content": "c", "components": components }),
        );
        assert_eq!(answer.status, 400, "{components}");
        let found = first_error(&answer.json()["errors"]["components"]);
        assert_eq!(found, (path.to_owned(), code.to_owned()), "{components}");
    }
    let link = json!({ "type": 2, "style": 5, "label": "l", "url": "https://example.com" });
    let good = json!({ "content": "c", "components": row(json!([button, link])) });
    assert_eq!(post(&sandbox, &good).status, 200);
    let alone = json!({ "flags": 1 << 15, "components": [{ "type": 10, "content": "text" }] });
    assert_eq!(post(&sandbox, &alone).status, 200);
    assert_eq!(sandbox.stats().messages, 2);
}
