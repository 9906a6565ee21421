//! The guard: one caller's refusals are bounded, and the others do not suffer for them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, run},
    lines::Lines,
    sandbox::SandboxProcess,
};

/// One peer's share of the 10,000 refusals that Discord allows an address.
const SHARE: u64 = 2_000;
/// Calls of the one who is refused: more than its share.
const CALLS: u64 = 3_000;
/// Calls that he has under way.
const UNDER_WAY: u64 = 32;

struct Pair {
    sandbox: SandboxProcess,
    daemon: Daemon,
}

impl Pair {
    fn start(variables: &[(&str, &str)]) -> Self {
        let sandbox = SandboxProcess::start(&[]);
        let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), variables);
        Self { sandbox, daemon }
    }

    fn good(&self) -> Value {
        json!([
            self.sandbox.token(0),
            self.sandbox.channel("general"),
            "hello"
        ])
    }

    /// How often the sandbox answered with this status.
    fn answers(&self, status: &str) -> u64 {
        let counted: Value = self.sandbox.own("GET", "/stats", "").parse();
        counted["statuses"][status].as_u64().unwrap_or_default()
    }

    fn guard(&self) -> Value {
        self.daemon.call("health", &json!({}))["result"]["guard"].clone()
    }

    /// Calls as fast as can be from a TCP port, with what `params` makes of a number; gives the
    /// errors. Meanwhile another peer, at the Unix socket, posts, and none of its calls fails.
    fn attack(&self, params: impl Fn(u64) -> Value + Sync) -> Vec<Value> {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let honest = scope.spawn(|| {
                let mut calls = 0;
                while !over.load(Ordering::Relaxed) || calls < 20 {
                    let answer = self.daemon.call("discord.sendMessage", &self.good());
                    assert_eq!(answer["result"]["success"], true, "{answer}");
                    calls += 1;
                }
                calls
            });
            let errors = flood(Lines::tcp(self.daemon.tcp), &params);
            over.store(true, Ordering::Relaxed);
            let posted: u64 = honest.join().unwrap();
            assert_eq!(self.sandbox.stats().messages, posted);
            errors
        })
    }
}

fn flood(mut lines: Lines, params: &(impl Fn(u64) -> Value + Sync)) -> Vec<Value> {
    let mut errors = Vec::new();
    for number in 0..CALLS + UNDER_WAY {
        if number < CALLS {
            let call = json!({"jsonrpc": "2.0", "id": number, "method": "discord.sendMessage",
                "params": params(number)});
            lines.send(call.to_string().as_bytes());
        }
        if number >= UNDER_WAY {
            errors.push(lines.read()["error"].clone());
        }
    }
    errors
}

fn count(errors: &[Value], code: u16) -> u64 {
    errors.iter().filter(|error| error["code"] == code).count() as u64
}

/// Holds that a peer that calls with `params` is refused by the guard when it has had its share.
fn check_share(status: &str, params: impl Fn(&Pair, u64) -> Value + Sync) {
    let pair = Pair::start(&[]);
    let errors = pair.attack(|number| params(&pair, number));
    assert_eq!(pair.answers(status), SHARE);
    assert_eq!(count(&errors, status.parse().unwrap()), SHARE);
    assert_eq!(count(&errors, 429), CALLS - SHARE);
    let last = errors.last().unwrap();
    let data = &last["data"];
    assert_eq!(
        (
            &data["kind"],
            &data["scope"],
            &data["delivered"],
            &data["retryable"]
        ),
        (
            &json!("rate_limited"),
            &json!("guard"),
            &json!("no"),
            &json!(true)
        ),
        "{last}"
    );
    let wait = data["retry_after_ms"].as_u64().unwrap();
    assert!((1..=600_000).contains(&wait), "{last}");
    // A token that is as good as any is refused too, of this peer alone.
    let mut lines = Lines::tcp(pair.daemon.tcp);
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage", "params": pair.good()});
    assert_eq!(lines.ask(&call)["error"]["code"], 429);
    let health = json!({"jsonrpc": "2.0", "id": 2, "method": "health"});
    let guard = &lines.ask(&health)["result"]["guard"];
    let full = json!({"status": "peer_full", "counted": SHARE, "limit": 9_000,
        "peer_counted": SHARE, "peer_limit": SHARE});
    assert_eq!(guard, &full);
    let open = json!({"status": "open", "counted": SHARE, "limit": 9_000,
        "peer_counted": 0, "peer_limit": SHARE});
    assert_eq!(pair.guard(), open);
}

fn dead_token(number: u64) -> String {
    format!("MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.{number:038}")
}

#[test]
fn ever_new_dead_tokens_use_up_one_peers_share_and_no_more() {
    check_share("401", |pair, number| {
        json!([dead_token(number), pair.sandbox.channel("general"), "hello"])
    });
}

#[test]
fn a_forbidden_channel_uses_up_one_peers_share_and_no_more() {
    check_share("403", |pair, _| {
        json!([
            pair.sandbox.token(0),
            pair.sandbox.channel("read-only"),
            "hello"
        ])
    });
}

#[test]
fn one_dead_token_is_asked_about_once() {
    let pair = Pair::start(&[]);
    let dead = json!([dead_token(1), pair.sandbox.channel("general"), "hello"]);
    let first = pair.daemon.call("discord.sendMessage", &dead);
    assert_eq!(first["error"]["data"]["http_status"], 401, "{first}");
    let errors = pair.attack(|_| dead.clone());
    assert_eq!(count(&errors, 401), CALLS);
    assert_eq!(pair.answers("401"), 1);
    let data = &errors.last().unwrap()["data"];
    assert_eq!(
        (&data["kind"], &data["retryable"], &data["http_status"]),
        (&json!("invalid_token"), &json!(false), &Value::Null)
    );
    let wait = data["retry_after_ms"].as_u64().unwrap();
    assert!((1..=600_000).contains(&wait), "{data}");
    assert_eq!(pair.guard()["counted"], 1);
}

#[test]
fn a_refusal_that_comes_when_nobody_waits_for_it_is_counted() {
    let pair = Pair::start(&[]);
    let late = json!({"times": 0, "do": {"delay_ms": 1500, "status": 401}});
    pair.sandbox.fault(&late);
    let mut lines = pair.daemon.lines();
    for number in 0..20 {
        let params = json!({"discord_token": dead_token(number), "channel_id": 1, "content": "hello",
            "timeout_ms": 1000});
        let call = json!({"jsonrpc": "2.0", "id": number, "method": "discord.sendMessage",
            "params": params});
        lines.send(call.to_string().as_bytes());
    }
    for _ in 0..20 {
        assert_eq!(lines.read()["error"]["code"], 504);
    }
    let counted = |pair: &Pair| pair.guard()["counted"].as_u64().unwrap();
    // A busy machine may not have sent all of them in their time.
    let sent = pair.sandbox.stats().requests;
    assert!(sent > 0);
    let begun = Instant::now();
    while counted(&pair) < sent {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            counted(&pair)
        );
    }
}

#[test]
fn many_healthy_calls_at_once_wait_for_each_other_and_are_not_refused() {
    // A share of 100, which as many calls under way could use up.
    let pair = Pair::start(&[("DISCORDD_DISCORD__GUARD_SHARE", "1")]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut lines = pair.daemon.lines();
                for id in 0..60 {
                    let call = json!({"jsonrpc": "2.0", "id": id, "method": "discord.sendMessage",
                        "params": pair.good()});
                    lines.send(call.to_string().as_bytes());
                }
                for _ in 0..60 {
                    let answer = lines.read();
                    assert_eq!(answer["result"]["success"], true, "{answer}");
                }
            });
        }
    });
    assert_eq!(pair.sandbox.stats().messages, 240);
}

#[test]
fn a_limit_that_is_shared_by_others_is_held_against_nobody() {
    let pair = Pair::start(&[]);
    for (scope, counted) in [("shared", 0), ("user", 1), ("global", 2)] {
        pair.sandbox
            .fault(&json!({"do": {"rate_limit": {"scope": scope, "retry_after": 60}}}));
        let answer = pair.daemon.call("discord.sendMessage", &pair.good());
        assert_eq!(answer["error"]["code"], 429, "{answer}");
        assert_eq!(pair.guard()["counted"], counted, "{scope}");
    }
}

#[test]
fn cloudflares_ban_is_known_to_every_call_until_it_is_over() {
    let pair = Pair::start(&[]);
    pair.sandbox
        .fault(&json!({"do": {"cloudflare": {"retry_after": 60}}}));
    for requests in [1, 1] {
        let answer = pair.daemon.call("discord.sendMessage", &pair.good());
        let data = &answer["error"]["data"];
        assert_eq!(
            (&answer["error"]["code"], &data["scope"], &data["delivered"]),
            (&json!(429), &json!("cloudflare"), &json!("no")),
            "{answer}"
        );
        let wait = data["retry_after_ms"].as_u64().unwrap();
        assert!((50_000..=60_000).contains(&wait), "{answer}");
        assert_eq!(pair.sandbox.stats().requests, requests);
    }
    let socket = pair.daemon.socket.to_str().unwrap();
    let told = run(&["health", "--socket", socket], &[]).stdout;
    assert!(
        told.ends_with(b"upstream: 127.0.0.1, guard: banned\n"),
        "{told:?}"
    );
    let guard = pair.guard();
    assert_eq!(guard["status"], "banned", "{guard}");
    assert!(
        guard["retry_after_ms"].as_u64().unwrap() <= 60_000,
        "{guard}"
    );
}

#[test]
fn a_ban_that_ends_in_time_is_waited_out_by_all() {
    let pair = Pair::start(&[]);
    pair.sandbox
        .fault(&json!({"do": {"cloudflare": {"retry_after": 1}}}));
    let mut lines = pair.daemon.lines();
    for id in 1..=2 {
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "discord.sendMessage",
            "params": pair.good()});
        lines.send(call.to_string().as_bytes());
    }
    for _ in 1..=2 {
        let answer = lines.read();
        assert_eq!(answer["result"]["success"], true, "{answer}");
    }
    assert_eq!(pair.sandbox.stats().messages, 2);
}

#[test]
fn without_the_guard_nothing_is_kept() {
    let pair = Pair::start(&[("DISCORDD_DISCORD__GUARD", "false")]);
    let dead = json!([dead_token(1), pair.sandbox.channel("general"), "hello"]);
    for requests in 1..=3 {
        let answer = pair.daemon.call("discord.sendMessage", &dead);
        assert_eq!(answer["error"]["data"]["http_status"], 401, "{answer}");
        assert_eq!(pair.sandbox.stats().requests, requests);
    }
    pair.sandbox
        .fault(&json!({"do": {"cloudflare": {"retry_after": 60}}}));
    let banned = pair.daemon.call("discord.sendMessage", &pair.good());
    assert_eq!(banned["error"]["code"], 429, "{banned}");
    let answer = pair.daemon.call("discord.sendMessage", &pair.good());
    assert_eq!(answer["result"]["success"], true, "{answer}");
    assert_eq!(pair.guard()["status"], "off");
}
