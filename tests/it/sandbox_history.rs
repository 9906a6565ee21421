//! What the sandbox remembers of messages: their nonces, and the history of each channel.

use serde_json::{Value, json};
use twilight_model::channel::Message;

use crate::support::http::Answer;
use crate::support::sandbox::SandboxProcess;

/// Posts as the first bot to `general`.
fn post(sandbox: &SandboxProcess, body: &Value) -> Answer {
    sandbox.post(sandbox.token(0), "general", body)
}

#[test]
fn enforced_nonce_posts_once_whatever_else_differs() {
    let sandbox = SandboxProcess::start(&[]);
    let body = |content: &str, nonce: Value| json!({ "content": content, "nonce": nonce, "enforce_nonce": true });
    let first = post(&sandbox, &body("first", json!("n"))).json();
    assert_eq!(post(&sandbox, &body("again", json!("n"))).json(), first);
    let elsewhere = sandbox.post(sandbox.token(0), "random", &body("there", json!("n")));
    assert_eq!(elsewhere.json(), first);
    let other_bot = sandbox.post(sandbox.token(1), "general", &body("other", json!("n")));
    assert_ne!(other_bot.json()["id"], first["id"]);
    let number = post(&sandbox, &body("number", json!(7))).json();
    assert_eq!(number["nonce"], 7);
    assert_eq!(post(&sandbox, &body("again", json!(7))).json(), number);
    assert_eq!(sandbox.texts("general"), ["first", "other", "number"]);
    assert_eq!(sandbox.stats().messages, 3);
}

#[test]
fn enforced_nonce_holds_when_all_come_at_once() {
    let sandbox = SandboxProcess::start(&[]);
    let body = json!({ "content": "once", "nonce": "n", "enforce_nonce": true });
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(post(&sandbox, &body).status, 200));
        }
    });
    assert_eq!(sandbox.texts("general"), ["once"]);
}

#[test]
fn nonce_that_is_not_enforced_posts_twice() {
    let sandbox = SandboxProcess::start(&[]);
    for content in ["first", "second"] {
        post(&sandbox, &json!({ "content": content, "nonce": "n" }));
    }
    assert_eq!(sandbox.texts("general"), ["first", "second"]);
    let longest = "x".repeat(25);
    let body = json!({ "content": "third", "nonce": longest });
    assert_eq!(post(&sandbox, &body).json()["nonce"], longest);
}

#[test]
fn history_keeps_the_newest_in_order() {
    let sandbox = SandboxProcess::start(&["--history", "120"]);
    for number in 0..130 {
        post(&sandbox, &json!({ "content": number }));
    }
    let expected: Vec<String> = (10..130).map(|number| number.to_string()).collect();
    assert_eq!(sandbox.texts("general"), expected);
    assert_eq!(sandbox.stats().messages, 130);
    assert_eq!(sandbox.texts("random"), Vec::<Value>::new());
}

#[test]
fn history_is_paged_from_either_side() {
    let sandbox = SandboxProcess::start(&[]);
    let post = |number: usize| post(&sandbox, &json!({ "content": number })).json();
    let ids: Vec<Value> = (0..60).map(|number| post(number)["id"].clone()).collect();
    let page = |query: &str| -> Vec<usize> {
        let path = format!("/channels/{}/messages?{query}", sandbox.channel("general"));
        let page: Vec<Message> = sandbox.get(sandbox.token(1), &path).parse();
        let numbers = page.iter().map(|message| message.content.parse());
        numbers.map(Result::unwrap).collect()
    };
    let at = |index: usize| ids[index].as_str().unwrap();
    assert_eq!(page(""), (10..60).rev().collect::<Vec<_>>());
    assert_eq!(page("limit=2"), [59, 58]);
    assert_eq!(page(&format!("limit=2&before={}", at(5))), [4, 3]);
    assert_eq!(page(&format!("limit=2&after={}", at(5))), [7, 6]);
    assert_eq!(page(&format!("limit=3&around={}", at(5))), [6, 5, 4]);
    assert_eq!(page(&format!("after={}", at(59))), Vec::<usize>::new());
    for (query, code) in [
        ("limit=0", "NUMBER_TYPE_MIN"),
        ("limit=101", "NUMBER_TYPE_MAX"),
        ("limit=x", "NUMBER_TYPE_COERCE"),
    ] {
        let path = format!("/channels/{}/messages?{query}", sandbox.channel("general"));
        let answer = sandbox.get(sandbox.token(0), &path).json();
        assert_eq!(answer["errors"]["limit"]["_errors"][0]["code"], code);
    }
}
