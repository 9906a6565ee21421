//! What goes wrong on the way to Discord, and what becomes of the message: sent again where that
//! helps, made once, and an error that tells the truth when that is not known.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{daemon::Daemon, sandbox::SandboxProcess};

/// Attempts that the settings allow unless they say otherwise.
const ATTEMPTS: u64 = 3;
/// What a call may take beyond its time: the machine may be busy.
const SLACK: Duration = Duration::from_secs(5);

/// A call, what goes wrong with it, and what must come of it.
struct Row {
    /// One after another, each for one request.
    faults: Vec<Value>,
    /// Whether the last of them stays.
    for_ever: bool,
    timeout_ms: u64,
    /// What the answer must have; an empty object for a success.
    error: Value,
    requests: u64,
    /// Messages that are there afterwards.
    messages: u64,
    /// The least time between two requests, in milliseconds.
    wait_ms: u64,
    /// What the call may take, if that is less than its time.
    at_once: bool,
}

impl Row {
    /// Something goes wrong once, and the message is made with the next attempt.
    fn mended(fault: Value) -> Self {
        Self {
            faults: vec![fault],
            for_ever: false,
            timeout_ms: 30_000,
            error: json!({}),
            requests: 2,
            messages: 1,
            wait_ms: 0,
            at_once: false,
        }
    }

    /// The only request fails, and is not repeated.
    fn failed(fault: Value, error: Value) -> Self {
        Self {
            error,
            requests: 1,
            messages: 0,
            ..Self::mended(fault)
        }
    }

    /// Every request fails.
    fn given_up(fault: Value, error: Value) -> Self {
        Self {
            for_ever: true,
            requests: ATTEMPTS,
            ..Self::failed(fault, error)
        }
    }

    fn check(&self, sandbox: &SandboxProcess) {
        sandbox.own("DELETE", "/faults", "");
        for (index, fault) in self.faults.iter().enumerate() {
            let last = index + 1 == self.faults.len();
            let times = u8::from(!(last && self.for_ever));
            sandbox.fault(&json!({"match": {"method": "POST"}, "times": times, "do": fault}));
        }
        // What one row has the daemon learn must not be known to the next.
        let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
        let before = sandbox.stats();
        let begun = Instant::now();
        let params = json!({"discord_token": sandbox.token(0), "content": "hello",
            "channel_id": sandbox.channel("general"), "timeout_ms": self.timeout_ms});
        let answer = daemon.call("discord.sendMessage", &params);
        let took = begun.elapsed();
        let about = format!("{:?}: {answer}", self.faults);
        let timeout = Duration::from_millis(if self.at_once { 0 } else { self.timeout_ms });
        assert!(took < timeout + SLACK, "{about}");
        for (name, expected) in self.error.as_object().unwrap() {
            let error = &answer["error"];
            let found = if name == "code" {
                &error["code"]
            } else {
                &error["data"][name]
            };
            assert_eq!(found, expected, "{name} of {about}");
        }
        let succeeded = self.error.as_object().unwrap().is_empty();
        assert_eq!(answer["result"]["success"] == true, succeeded, "{about}");
        let data = &answer["error"]["data"];
        if !succeeded && data["delivered"] != "no" {
            assert!(data["nonce"].is_string(), "{about}");
        }
        let after = sandbox.stats();
        assert_eq!(after.requests - before.requests, self.requests, "{about}");
        assert_eq!(after.messages - before.messages, self.messages, "{about}");
        let came: Vec<u64> = sandbox
            .requests(before.requests)
            .iter()
            .map(|request| request["at_ms"].as_u64().unwrap())
            .collect();
        for pair in came.windows(2) {
            assert!(pair[1] - pair[0] >= self.wait_ms, "{came:?} of {about}");
        }
    }
}

fn check(rows: &[Row]) {
    let sandbox = SandboxProcess::start(&[]);
    for row in rows {
        row.check(&sandbox);
    }
}

fn status(status: u16) -> Value {
    json!({"status": status, "body": "<html>from a machine in between</html>"})
}

fn limited(scope: &str, secs: f64) -> Value {
    json!({"rate_limit": {"scope": scope, "retry_after": secs}})
}

#[test]
fn what_goes_wrong_once_is_mended_and_the_message_is_made_once() {
    let mut rows = vec![
        Row::mended(json!({"drop": "before"})),
        Row::mended(json!({"drop": "before", "reset": true})),
        Row::mended(json!({"drop": "after"})),
        Row::mended(json!({"drop": "after", "reset": true})),
        Row::mended(json!({"cut": 10})),
        Row::mended(json!({"status": 500})),
        Row::mended(json!({"cloudflare": {"status": 502}})),
        Row {
            wait_ms: 1000,
            ..Row::mended(json!({"status": 503, "headers": {"retry-after": "1"}}))
        },
        Row::mended(json!({"status": 429, "body": {"message": "of no known kind"}})),
        Row {
            wait_ms: 1000,
            ..Row::mended(json!({"cloudflare": {"retry_after": 1}}))
        },
    ];
    rows.extend([408, 502, 504, 522].map(|it| Row::mended(status(it))));
    rows.extend(["user", "shared", "global", "none"].map(|scope| Row {
        wait_ms: 400,
        ..Row::mended(limited(scope, 0.4))
    }));
    rows.push(Row {
        faults: vec![json!({"drop": "after"}), limited("user", 0.3)],
        requests: 3,
        ..Row::mended(Value::Null)
    });
    check(&rows);
}

#[test]
fn what_goes_wrong_for_ever_ends_after_the_attempts_allowed() {
    let unknown = |status: u16| {
        json!({"code": 503, "kind": "unavailable", "delivered": "unknown",
        "retryable": true, "http_status": status})
    };
    let lost =
        json!({"code": 503, "kind": "unavailable", "delivered": "unknown", "retryable": true});
    let cut = json!({"code": 502, "kind": "bad_answer", "delivered": "yes", "retryable": false});
    let mut rows = vec![
        Row::given_up(json!({"drop": "before"}), lost.clone()),
        Row::given_up(json!({"drop": "before", "reset": true}), lost.clone()),
        Row {
            messages: 1,
            ..Row::given_up(json!({"drop": "after"}), lost.clone())
        },
        Row {
            messages: 1,
            ..Row::given_up(json!({"drop": "after", "reset": true}), lost)
        },
        Row {
            messages: 1,
            ..Row::given_up(json!({"cut": 10}), cut)
        },
        Row::given_up(json!({"status": 500}), unknown(500)),
        Row::given_up(json!({"cloudflare": {"status": 503}}), unknown(503)),
    ];
    rows.extend([408, 502, 504].map(|it| Row::given_up(status(it), unknown(it))));
    check(&rows);
}

#[test]
fn a_limit_for_ever_is_asked_no_oftener_than_allowed_and_never_too_early() {
    let told = |scope: &str, wait_ms: u64| {
        json!({"code": 429, "kind": "rate_limited", "delivered": "no",
        "retryable": true, "http_status": 429, "scope": scope, "retry_after_ms": wait_ms})
    };
    let mut rows = vec![
        Row {
            wait_ms: 1000,
            ..Row::given_up(
                json!({"cloudflare": {"retry_after": 1}}),
                told("cloudflare", 1000),
            )
        },
        Row::given_up(
            json!({"status": 429, "body": {"message": "of no known kind"}}),
            json!({"code": 429, "delivered": "no", "scope": "user"}),
        ),
    ];
    rows.extend(["user", "shared", "global"].map(|scope| Row {
        wait_ms: 300,
        ..Row::given_up(limited(scope, 0.3), told(scope, 300))
    }));
    rows.push(Row {
        wait_ms: 300,
        ..Row::given_up(limited("none", 0.3), told("user", 300))
    });
    check(&rows);
}

#[test]
fn a_wait_that_does_not_fit_is_told_at_once() {
    let told = |scope: &str, wait_ms: u64| {
        json!({"code": 429, "kind": "rate_limited", "delivered": "no",
        "retryable": true, "scope": scope, "retry_after_ms": wait_ms})
    };
    let row = |fault, error| Row {
        at_once: true,
        ..Row::failed(fault, error)
    };
    let for_ages = json!({"message": "limited", "retry_after": 1e18});
    check(&[
        row(limited("user", 60.0), told("user", 60_000)),
        row(limited("shared", 60.0), told("shared", 60_000)),
        row(limited("global", 60.0), told("global", 60_000)),
        row(limited("none", 60.0), told("user", 60_000)),
        row(
            json!({"cloudflare": {"retry_after": 60}}),
            told("cloudflare", 60_000),
        ),
        row(json!({"cloudflare": {}}), told("cloudflare", 60_000)),
        row(
            json!({"status": 503, "headers": {"retry-after": "60"}}),
            json!({"code": 503, "delivered": "unknown", "retry_after_ms": 60_000}),
        ),
        row(
            json!({"status": 429, "body": for_ages}),
            told("user", 7 * 86_400_000),
        ),
        // What the head says is enough, when no more comes.
        row(
            json!({"cloudflare": {"retry_after": 60}, "hang": "body"}),
            told("cloudflare", 60_000),
        ),
    ]);
}

#[test]
fn what_an_earlier_attempt_may_have_done_is_not_forgotten() {
    let row = |first: Value, second: Value, error: Value| Row {
        faults: vec![first, second],
        messages: 1,
        requests: 2,
        ..Row::failed(Value::Null, error)
    };
    let forbidden =
        json!({"status": 403, "body": {"code": 50013, "message": "Missing Permissions"}});
    check(&[
        row(
            json!({"drop": "after"}),
            forbidden,
            json!({"code": 403, "kind": "forbidden", "delivered": "unknown"}),
        ),
        row(
            json!({"drop": "after"}),
            limited("user", 60.0),
            json!({"code": 429, "kind": "rate_limited", "delivered": "unknown"}),
        ),
        row(
            json!({"cut": 10}),
            limited("user", 60.0),
            json!({"code": 429, "delivered": "yes", "retryable": false}),
        ),
        row(
            json!({"cut": 10}),
            json!({"status": 401}),
            json!({"code": 401, "kind": "invalid_token", "delivered": "yes"}),
        ),
        Row {
            timeout_ms: 1500,
            ..row(
                json!({"cut": 10}),
                json!({"hang": "head"}),
                json!({"code": 504, "kind": "timed_out", "delivered": "yes"}),
            )
        },
    ]);
}

#[test]
fn what_a_repeat_does_not_help_is_not_repeated() {
    let no = |code: u16, kind: &str| json!({"code": code, "kind": kind, "delivered": "no", "retryable": false});
    let timed_out =
        |delivered: &str| json!({"code": 504, "kind": "timed_out", "delivered": delivered});
    let unknown = |status: u16| json!({"code": 503, "delivered": "unknown", "http_status": status});
    let bad = json!({"code": 502, "kind": "bad_answer", "delivered": "yes", "retryable": false});
    let fields = json!({"code": 50035, "message": "Invalid Form Body", "errors":
        {"embeds": {"0": {"title": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Too long"}]}}}}});
    check(&[
        Row::failed(
            json!({"status": 400, "body": fields}),
            json!({"code": 400, "kind": "rejected",
            "delivered": "no", "discord_code": 50035, "errors":
            [{"path": "embeds.0.title", "code": "BASE_TYPE_MAX_LENGTH", "message": "Too long"}]}),
        ),
        Row::failed(status(400), no(400, "rejected")),
        Row::failed(json!({"status": 401}), no(401, "invalid_token")),
        Row::failed(status(403), no(403, "forbidden")),
        Row::failed(status(404), no(404, "not_found")),
        Row::failed(status(413), no(413, "too_large")),
        Row::failed(
            json!({"status": 403, "endless": true}),
            no(403, "forbidden"),
        ),
        Row {
            messages: 1,
            ..Row::failed(json!({"endless": true}), bad.clone())
        },
        Row {
            messages: 1,
            ..Row::failed(json!({"oversize": 50_000_000}), bad.clone())
        },
        Row::failed(status(200), bad),
        Row {
            timeout_ms: 400,
            ..Row::failed(json!({"hang": "head"}), timed_out("unknown"))
        },
        Row {
            timeout_ms: 400,
            messages: 1,
            ..Row::failed(json!({"hang": "body"}), timed_out("yes"))
        },
        Row {
            timeout_ms: 400,
            ..Row::failed(json!({"status": 500, "hang": "body"}), unknown(500))
        },
        Row {
            timeout_ms: 400,
            ..Row::failed(json!({"status": 408, "hang": "body"}), unknown(408))
        },
        Row {
            timeout_ms: 400,
            ..Row::failed(json!({"status": 403, "hang": "body"}), no(403, "forbidden"))
        },
    ]);
}

#[test]
fn reads_are_asked_for_again() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    for fault in [
        json!({"status": 500}),
        json!({"drop": "after", "reset": true}),
        json!({"cut": 3}),
        limited("user", 0.1),
    ] {
        sandbox.fault(&json!({"match": {"path": "/users/@me/guilds"}, "do": fault}));
        let params = json!({"discord_token": sandbox.token(0)});
        let answer = daemon.call("discord.listChannels", &params);
        assert_eq!(answer["result"]["count"], 3, "{fault}: {answer}");
    }
}

#[test]
fn a_limit_of_all_a_bots_requests_bounds_the_whole_call() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let limit = json!({"match": {"path": "/guilds/"}, "times": 0, "do": limited("global", 0.5)});
    sandbox.fault(&limit);
    let token = &sandbox.bot("drifter").token;
    let answer = daemon.call("discord.listChannels", &json!({"discord_token": token}));
    let errors = answer["result"]["errors"].as_array().unwrap();
    assert!(
        errors.len() > 200 && errors.iter().all(|error| error["code"] == 429),
        "{answer}"
    );
    // Of all its guilds some are asked about at once.
    let under_way = 5;
    let requests = sandbox.stats().requests;
    assert!(requests <= 3 + ATTEMPTS * under_way, "{requests}");
}

#[test]
fn the_attempts_are_set() {
    let sandbox = SandboxProcess::start(&[]);
    let variables = [("DISCORDD_DISCORD__ATTEMPTS", "2")];
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &variables);
    sandbox.fault(&json!({"times": 0, "do": {"status": 500}}));
    let params = json!([sandbox.token(0), sandbox.channel("general"), "hello"]);
    let answer = daemon.call("discord.sendMessage", &params);
    assert_eq!(answer["error"]["code"], 503, "{answer}");
    assert_eq!(sandbox.stats().requests, 2);
}

#[test]
fn a_message_that_ended_unknown_is_settled_by_its_nonce() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    sandbox.fault(&json!({"times": ATTEMPTS, "do": {"drop": "after"}}));
    let mut params = json!({"discord_token": sandbox.token(0), "content": "hello",
        "channel_id": sandbox.channel("general")});
    let lost = daemon.call("discord.sendMessage", &params);
    assert_eq!(lost["error"]["data"]["delivered"], "unknown", "{lost}");
    params["nonce"] = lost["error"]["data"]["nonce"].clone();
    let settled = daemon.call("discord.sendMessage", &params);
    assert_eq!(settled["result"]["success"], true, "{settled}");
    assert_eq!(sandbox.stats().messages, 1);
    params["content"] = json!("something else");
    let reused = daemon.call("discord.sendMessage", &params);
    assert_eq!(reused["error"]["code"], 409, "{reused}");
    assert_eq!(sandbox.stats().messages, 1);
}

#[test]
fn nothing_is_sent_again_when_discord_may_have_forgotten_its_nonce() {
    let sandbox = SandboxProcess::start(&[]);
    let variables = [("DISCORDD_LIMITS__CALL_TIMEOUT", "1h")];
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &variables);
    sandbox.fault(&json!({"do": {"drop": "after"}}));
    sandbox.fault(&json!({"do": limited("user", 600.0)}));
    let params = json!([sandbox.token(0), sandbox.channel("general"), "hello"]);
    let error = &daemon.call("discord.sendMessage", &params)["error"];
    let data = &error["data"];
    assert_eq!(
        (&error["code"], &data["delivered"]),
        (&json!(429), &json!("unknown")),
        "{error}"
    );
    assert!(data["nonce"].is_string(), "{error}");
}
