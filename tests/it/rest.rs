//! The REST API of the service this replaces: the same names in and out, and true statuses.

use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon,
    http::{Answer, Client},
    sandbox::SandboxProcess,
};

/// Made up.
const STRANGER: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB";

struct Pair {
    sandbox: SandboxProcess,
    daemon: Daemon,
}

impl Pair {
    fn start() -> Self {
        let sandbox = SandboxProcess::start(&[]);
        let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
        Self { sandbox, daemon }
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, &[], &body.to_string())
    }

    fn send(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        Client::plain(self.daemon.tcp).send("POST", path, &all, body.as_bytes())
    }

    fn message(&self, more: &Value) -> Value {
        let mut body = json!({"discord_token": self.sandbox.token(0), "content": "hello",
            "channel_id": self.sandbox.channel("general")});
        let object = body.as_object_mut().unwrap();
        object.extend(more.as_object().unwrap().clone());
        object.retain(|_, value| !value.is_null());
        body
    }

    /// Holds that a body is refused with this status, which the answer tells too.
    fn check(&self, path: &str, body: &Value, status: u16, kind: &str) -> Answer {
        let answer = self.post(path, body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        let said = answer.json();
        assert_eq!(said["success"], false, "{said}");
        assert_eq!(said["code"], status, "{said}");
        assert_eq!(said["data"]["kind"], kind, "{said}");
        assert!(!said["error"].as_str().unwrap().is_empty(), "{said}");
        answer
    }
}

#[test]
fn a_client_of_the_replaced_service_posts_as_it_did() {
    let pair = Pair::start();
    let answer = pair.post("/messages", &pair.message(&json!({})));
    let said = answer.json();
    assert_eq!(
        (answer.status, &said["success"]),
        (200, &json!(true)),
        "{said}"
    );
    assert_eq!(said["bot_info"], "scout");
    let messages = pair.sandbox.messages("general");
    assert_eq!(
        (messages.len(), &messages[0]["content"]),
        (1, &json!("hello"))
    );
    assert_eq!(said["message_id"], messages[0]["id"]);
}

#[test]
fn test_and_channels_work() {
    let pair = Pair::start();
    let guild = &pair.sandbox.line.guild_id;
    let token = pair.sandbox.token(1);
    let tested = pair
        .post(
            "/test",
            &json!({"discord_token": token, "server_id": guild}),
        )
        .json();
    assert_eq!(
        (&tested["success"], &tested["bot_info"]),
        (&json!(true), &json!("scribe"))
    );
    assert_eq!(pair.sandbox.stats().messages, 1);
    let listed = pair
        .post(
            "/channels",
            &json!({"discord_token": token, "server_id": guild}),
        )
        .json();
    assert_eq!(listed["count"], 3, "{listed}");
    assert_eq!(listed["channels"][0]["name"], "general");
    // All guilds are meant by none, and nothing need be said beside the token.
    let authorization = format!("Bot {token}");
    let headers = [("authorization", authorization.as_str())];
    let listed = Client::plain(pair.daemon.tcp)
        .send("POST", "/channels", &headers, b"")
        .json();
    assert_eq!(listed["count"], 3, "{listed}");
}

#[test]
fn the_token_may_come_in_the_header_and_the_body_wins() {
    let pair = Pair::start();
    let authorization = format!("Bot {}", pair.sandbox.token(1));
    let headers = [("authorization", authorization.as_str())];
    let own = pair.message(&json!({"discord_token": null}));
    let said = pair.send("/messages", &headers, &own.to_string()).json();
    assert_eq!(said["bot_info"], "scribe");
    let said = pair
        .send("/messages", &headers, &pair.message(&json!({})).to_string())
        .json();
    assert_eq!(said["bot_info"], "scout");
}

#[test]
fn a_failure_has_its_status() {
    let pair = Pair::start();
    let check =
        |more: Value, status, kind| pair.check("/messages", &pair.message(&more), status, kind);
    check(json!({"discord_token": STRANGER}), 401, "invalid_token");
    check(
        json!({"channel_id": pair.sandbox.channel("read-only")}),
        403,
        "forbidden",
    );
    check(json!({"channel_id": "1"}), 404, "not_found");
    check(json!({"channel_id": null}), 422, "invalid_params");
    check(json!({"discord_token": null}), 422, "invalid_params");
    check(json!({"contents": "?"}), 422, "invalid_params");
    for no_object in [json!([1, 2]), json!("text"), json!(null)] {
        pair.check("/messages", &no_object, 422, "invalid_request");
    }
    let said = pair
        .post("/messages", &pair.message(&json!({"nonce": "n"})))
        .json();
    assert_eq!(said["success"], true, "{said}");
    let other = json!({"nonce": "n", "content": "something else"});
    check(other, 409, "nonce_reused");
}

#[test]
fn a_limit_says_when_to_come_back() {
    let pair = Pair::start();
    let limit = json!({"do": {"rate_limit": {"scope": "user", "retry_after": 59.2}}});
    pair.sandbox.fault(&limit);
    let answer = pair.check("/messages", &pair.message(&json!({})), 429, "rate_limited");
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(answer.json()["data"]["retry_after_ms"], 59_200);
    pair.sandbox
        .fault(&json!({"times": 0, "do": {"status": 500}}));
    let answer = pair.check("/messages", &pair.message(&json!({})), 503, "unavailable");
    assert_eq!(answer.json()["data"]["delivered"], "unknown");
}

#[test]
fn what_is_no_call_is_refused() {
    let pair = Pair::start();
    let refused = |answer: Answer, status: u16| {
        let said = answer.json();
        assert_eq!(
            (answer.status, &said["success"]),
            (status, &json!(false)),
            "{said}"
        );
        assert_eq!(said["code"], status);
    };
    let whole = pair.message(&json!({})).to_string();
    refused(pair.send("/messages", &[], &whole[1..]), 400);
    refused(pair.send("/messages/", &[], &whole), 404);
    refused(
        pair.send("/messages", &[("origin", "http://evil.example")], &whole),
        403,
    );
    let plain = [("content-type", "text/plain")];
    let send = |headers: &[(&str, &str)], body: &[u8]| {
        Client::plain(pair.daemon.tcp).send("POST", "/messages", headers, body)
    };
    refused(send(&plain, whole.as_bytes()), 415);
    refused(
        send(
            &[("content-type", "application/json")],
            &vec![b' '; 2 << 20],
        ),
        413,
    );
    for path in ["/messages", "/test", "/channels"] {
        let answer = Client::plain(pair.daemon.tcp).send("GET", path, &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    }
    assert_eq!(pair.sandbox.stats().messages, 0);
}
