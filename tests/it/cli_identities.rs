//! `discordd identities`: which bot each token is.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, run},
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

    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let socket = self.daemon.socket.to_str().unwrap();
        let mut all = vec!["identities", "--socket", socket];
        all.extend(args);
        read(run(&all, variables))
    }
}

fn read(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn two_bots_each_post_a_message_of_their_own() {
    let pair = Pair::start();
    let (first, second) = (pair.sandbox.token(0), pair.sandbox.token(1));
    let variables = [("DISCORD_TOKEN", first), ("DISCORD_TOKEN2", second)];
    let (code, stdout, stderr) = pair.run(&[], &variables);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = stdout
        .lines()
        .map(|it| it.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["VARIABLE", "BOT", "ID", "GUILD", "CHANNEL", "MESSAGE"]
    );
    let messages = pair.sandbox.messages("general");
    for (row, (bot, variable), message) in [
        (&rows[1], ("scout", "DISCORD_TOKEN"), &messages[0]),
        (&rows[2], ("scribe", "DISCORD_TOKEN2"), &messages[1]),
    ] {
        let (id, message_id) = (
            pair.sandbox.bot(bot).id.as_str(),
            message["id"].as_str().unwrap(),
        );
        assert_eq!(*row, [variable, bot, id, "Sandbox", "#general", message_id]);
        assert_eq!(message["author"]["username"], bot);
    }
    assert_eq!(messages.len(), 2);
}

#[test]
fn a_dry_run_posts_nothing() {
    let pair = Pair::start();
    let token = pair.sandbox.token(0);
    let (code, stdout, _) = pair.run(&["--dry-run", "--json"], &[("DISCORD_TOKEN2", token)]);
    let identities: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, identities.as_array().unwrap().len()), (0, 1));
    assert_eq!(identities[0]["variable"], "DISCORD_TOKEN2");
    assert_eq!(identities[0]["bot"]["bot_info"], "scout");
    assert_eq!(identities[0]["bot"]["dry_run"], true);
    assert_eq!(pair.sandbox.stats().messages, 0);
}

#[test]
fn two_tokens_of_one_bot_are_told() {
    let pair = Pair::start();
    let token = pair.sandbox.token(0);
    let args = ["--dry-run", "--token-env", "ONE", "--token-env", "OTHER"];
    let (code, stdout, stderr) = pair.run(&args, &[("ONE", token), ("OTHER", token)]);
    assert_eq!((code, stdout.lines().count()), (1, 3));
    assert_eq!(stderr, "discordd: ONE and OTHER are the same bot, scout\n");
}

#[test]
fn a_token_that_is_no_bot_does_not_hide_the_other() {
    let pair = Pair::start();
    let variables = [
        ("DISCORD_TOKEN", STRANGER),
        ("DISCORD_TOKEN2", pair.sandbox.token(1)),
    ];
    let (code, stdout, stderr) = pair.run(&[], &variables);
    assert_eq!((code, stderr.as_str()), (1, ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[1], "DISCORD_TOKEN   Invalid Discord token (401)");
    assert!(lines[2].starts_with("DISCORD_TOKEN2  scribe"), "{stdout}");
    assert!(!stdout.contains(STRANGER));
    let (_, stdout, _) = pair.run(&["--json"], &variables);
    let identities: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(identities[0]["error"]["code"], json!(401));
    assert_eq!(pair.sandbox.stats().messages, 2);
}

#[test]
fn without_a_token_or_a_daemon_it_says_so() {
    let (code, _, stderr) = read(run(&["identities"], &[]));
    assert_eq!(code, 64, "{stderr}");
    let args = ["identities", "--token-env", "NOT_THERE"];
    let (code, _, stderr) = read(run(&args, &[]));
    assert_eq!(code, 64);
    assert!(stderr.contains("NOT_THERE: it is not set"), "{stderr}");
    let args = ["identities", "--socket", "/nowhere/s.sock"];
    let (code, _, stderr) = read(run(&args, &[("DISCORD_TOKEN", STRANGER)]));
    assert_eq!(code, 2);
    assert!(!stderr.contains(STRANGER), "{stderr}");
}

#[test]
fn what_was_done_is_told_although_the_daemon_is_lost() {
    let pair = Pair::start();
    let socket = pair.daemon.socket.clone();
    let token = pair.sandbox.token(0).to_owned();
    // The first is answered; the second asks a daemon that is gone.
    pair.sandbox
        .fault(&json!({"match": {"method": "POST"}, "after": 1, "do": {"hang": "head"}}));
    let second = pair.sandbox.token(1).to_owned();
    let running = std::thread::spawn(move || {
        let socket = socket.to_str().unwrap();
        let variables = [
            ("DISCORD_TOKEN", token.as_str()),
            ("DISCORD_TOKEN2", second.as_str()),
        ];
        read(run(
            &["identities", "--json", "--socket", socket],
            &variables,
        ))
    });
    // The second message hangs upstream when there are so many requests.
    let posts = || {
        let requests = pair.sandbox.requests(0);
        requests.iter().filter(|it| it["method"] == "POST").count()
    };
    while posts() < 2 {}
    pair.daemon.signal(rustix::process::Signal::KILL);
    let (code, stdout, _) = running.join().unwrap();
    assert_eq!(code, 1, "{stdout}");
    let identities: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(identities[0]["bot"]["bot_info"], "scout", "{stdout}");
    let data = &identities[1]["error"]["data"];
    assert_eq!(data["delivered"], "unknown", "{stdout}");
    assert!(data["nonce"].is_string(), "{stdout}");
}
