//! Ten thousand messages through an upstream that loses answers, resets connections and limits: each
//! is made once, or its error says that this is not known and its nonce settles it.

use std::{collections::HashMap, ops::AddAssign, thread};

use serde_json::{Value, json};

use crate::support::{daemon::Daemon, lines::Lines, sandbox::SandboxProcess};

/// Messages of the test.
const ALL: u64 = 10_000;
/// Connections at once, and calls under way on each.
const LANES: u64 = 4;
const UNDER_WAY: usize = 48;
/// How often a message is tried again by its caller, who is patient.
const PATIENCE: u32 = 20;

/// How the calls ended.
#[derive(Debug, Default)]
struct Counts {
    /// Made, and the first answer said so.
    made: u64,
    /// Not known at first, and settled by a repeat with the nonce.
    settled: u64,
    /// Not made, as the error said, and made by another call.
    made_later: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.settled += other.settled;
        self.made_later += other.made_later;
    }
}

/// One caller: sends its messages on one connection, and settles each whose error says anything else
/// than that it was made.
struct Lane {
    lines: Lines,
    params: Value,
    under_way: HashMap<u64, Option<Value>>,
    tries: HashMap<u64, u32>,
    counts: Counts,
}

impl Lane {
    fn send(&mut self, number: u64, nonce: Option<Value>) {
        let mut params = self.params.clone();
        params["content"] = json!(number.to_string());
        if let Some(nonce) = &nonce {
            params["nonce"] = nonce.clone();
        }
        let call = json!({"jsonrpc": "2.0", "id": number, "method": "discord.sendMessage",
            "params": params});
        self.lines.send(call.to_string().as_bytes());
        self.under_way.insert(number, nonce);
    }

    fn take_answer(&mut self) {
        let answer = self.lines.read();
        let number = answer["id"].as_u64().unwrap();
        let nonce = self.under_way.remove(&number).unwrap();
        if answer["result"]["success"] == true {
            if nonce.is_some() {
                self.counts.settled += 1;
            } else if self.tries.contains_key(&number) {
                self.counts.made_later += 1;
            } else {
                self.counts.made += 1;
            }
            return;
        }
        let tries = self.tries.entry(number).or_default();
        *tries += 1;
        assert!(*tries < PATIENCE, "{answer}");
        let data = &answer["error"]["data"];
        let again = match data["delivered"].as_str().unwrap() {
            // Of this call; one before it with the same nonce may have made it.
            "no" => nonce,
            _ => Some(data["nonce"].clone()),
        };
        assert_ne!(again, Some(Value::Null), "{answer}");
        self.send(number, again);
    }

    fn run(mut self, numbers: impl Iterator<Item = u64>) -> Counts {
        for number in numbers {
            self.send(number, None);
            while self.under_way.len() >= UNDER_WAY {
                self.take_answer();
            }
        }
        while !self.under_way.is_empty() {
            self.take_answer();
        }
        self.counts
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the counts are what it is about")]
fn ten_thousand_messages_over_a_bad_way_are_made_once_each() {
    let sandbox = SandboxProcess::start(&["--history", &(ALL + 1).to_string()]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let limit = json!({"rate_limit": {"scope": "user", "retry_after": 0.05}});
    for (seed, percent, act) in [
        (1, 10, json!({"drop": "after"})),
        (2, 5, json!({"drop": "before", "reset": true})),
        (3, 2, limit),
        (4, 3, json!({"status": 503})),
    ] {
        sandbox.fault(&json!({"percent": percent, "seed": seed, "do": act}));
    }
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let lanes = (0..LANES).map(|first| {
            let lane = Lane {
                lines: daemon.lines(),
                params: json!({"discord_token": sandbox.token(0),
                    "channel_id": sandbox.channel("general")}),
                under_way: HashMap::new(),
                tries: HashMap::new(),
                counts: Counts::default(),
            };
            let numbers = (first..ALL).step_by(usize::try_from(LANES).unwrap());
            scope.spawn(move || lane.run(numbers))
        });
        for lane in lanes.collect::<Vec<_>>() {
            counts += lane.join().unwrap();
        }
    });
    let stats = sandbox.stats();
    println!("{counts:?}, {} requests", stats.requests);
    assert!(counts.settled > 0 && stats.requests > ALL, "{counts:?}");
    assert_eq!(stats.messages, ALL);
    sandbox.own("DELETE", "/faults", "");
    let mut found: Vec<u64> = sandbox
        .texts("general")
        .iter()
        .map(|text| text.as_str().unwrap().parse().unwrap())
        .collect();
    found.sort_unstable();
    assert!(found.into_iter().eq(0..ALL));
}
