//! The sandbox's rate limits, which are off unless they are asked for.

use serde_json::json;

use crate::support::http::Answer;
use crate::support::sandbox::SandboxProcess;

fn post(sandbox: &SandboxProcess, bot: usize, channel: &str) -> Answer {
    let body = json!({ "content": "hello" });
    sandbox.post(sandbox.token(bot), channel, &body)
}

fn number(answer: &Answer, name: &str) -> f64 {
    answer.header(name).unwrap().parse().unwrap()
}

#[test]
fn nothing_is_limited_unless_asked_for() {
    let sandbox = SandboxProcess::start(&[]);
    for _ in 0..60 {
        let answer = post(&sandbox, 0, "general");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit"), None);
    }
}

#[test]
fn messages_of_a_bot_in_a_channel_are_limited() {
    let sandbox = SandboxProcess::start(&["--rate-limits"]);
    let answers = [0; 6].map(|_| post(&sandbox, 0, "general"));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    for (answer, remaining) in answers.iter().zip(["4", "3", "2", "1", "0", "0"]) {
        assert_eq!(answer.header("x-ratelimit-limit"), Some("5"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(remaining));
        let bucket = answers[0].header("x-ratelimit-bucket");
        assert_eq!(answer.header("x-ratelimit-bucket"), bucket);
        assert_eq!(bucket.map(str::len), Some(32));
        let (after, reset) = (
            number(answer, "x-ratelimit-reset-after"),
            number(answer, "x-ratelimit-reset"),
        );
        assert!(after > 0.0 && after <= 5.0 && reset > 1.7e9, "{answer:?}");
    }
    let last = &answers[5];
    assert_eq!(last.header("x-ratelimit-scope"), Some("user"));
    assert_eq!(last.header("x-ratelimit-global"), None);
    assert!((1.0..=5.0).contains(&number(last, "retry-after")));
    let body = last.json();
    assert_eq!(body["message"], "You are being rate limited.");
    assert_eq!(body["global"], false);
    let after = body["retry_after"].as_f64().unwrap();
    assert!(after > 0.0 && after <= 5.0, "{body}");
    assert_eq!(sandbox.stats().messages, 5);
    assert_eq!(post(&sandbox, 1, "general").status, 200);
    assert_eq!(post(&sandbox, 0, "random").status, 200);
}

#[test]
fn refused_requests_count_and_strangers_are_not_limited() {
    let sandbox = SandboxProcess::start(&["--rate-limits"]);
    for left in ["9", "8"] {
        let answer = sandbox.get(sandbox.token(0), "/channels/7");
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left));
    }
    for _ in 0..60 {
        let answer = sandbox.get("nobody", "/users/@me");
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("x-ratelimit-limit"), None);
    }
}

#[test]
fn all_requests_of_a_bot_are_limited_together() {
    let sandbox = SandboxProcess::start(&["--rate-limits", "--any-token"]);
    let mut client = sandbox.client();
    let authorization = format!("Bot {}", sandbox.token(0));
    let mut get = |channel: u64| {
        let headers = [("authorization", authorization.as_str())];
        client.send(
            "GET",
            &format!("/api/v10/channels/{channel}"),
            &headers,
            b"",
        )
    };
    // A window lasts a second, and one of them sees more than fifty unless this machine is
    // slower than fifty requests a second.
    let mut answers = (1..=2000).map(&mut get);
    let limited = answers.find(|answer| answer.status == 429).unwrap();
    assert_eq!(limited.header("x-ratelimit-scope"), Some("global"));
    assert_eq!(limited.header("x-ratelimit-global"), Some("true"));
    assert_eq!(limited.header("x-ratelimit-bucket"), None);
    assert_eq!(limited.header("retry-after"), Some("1"));
    assert_eq!(limited.json()["global"], true);
}
