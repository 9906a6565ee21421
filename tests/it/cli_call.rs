//! `discordd call`: what it sends, what it prints, and what it ends with.

use std::{fs, io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Folder, discordd, run},
    fake::Fake,
    sandbox::SandboxProcess,
    upstream::{Upstream, http},
};

const DONE: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"done\":true}}\n";
/// A token that no sandbox knows.
const STRANGER: &str = "MTE4NDAyOTMwMTI4NDkyMTM0NA.Gabcde.abcdefghijklmnopqrstuvwxyz0123456789AB";

/// What a command printed and ended with.
struct Seen {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Seen {
    /// Its standard output, which is one line of JSON.
    fn json(&self) -> Value {
        assert_eq!(self.stdout.matches('\n').count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

fn call(args: &[&str], variables: &[(&str, &str)]) -> Seen {
    let output = run(&[&["call"], args].concat(), variables);
    Seen {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Calls a daemon that answers every call, and gives the call that it got.
fn sent(args: &[&str], variables: &[(&str, &str)]) -> String {
    let fake = Fake::answering(Some(DONE));
    let seen = call(&[args, &["--socket", fake.path()]].concat(), variables);
    assert_eq!((seen.code, seen.stderr.as_str()), (0, ""));
    assert_eq!(seen.stdout, "{\"done\":true}\n");
    fake.asked()
}

#[test]
fn a_message_is_posted_and_its_result_printed() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let (socket, url) = (
        daemon.socket.to_str().unwrap(),
        format!("http://{}/", daemon.tcp),
    );
    let channel = format!("channel_id={}", sandbox.channel("general"));
    let token = [("DISCORD_TOKEN", sandbox.token(0))];
    let long = "x".repeat(2000);
    for (at, text) in [(["--socket", socket], "404"), (["--url", &url], &long)] {
        let content = format!("content={text}");
        let args = ["discord.sendMessage", &channel, &content, at[0], at[1]];
        let seen = call(&args, &token);
        assert_eq!(
            (seen.code, seen.stderr.as_str()),
            (0, ""),
            "{}",
            seen.stdout
        );
        assert_eq!(seen.json()["bot_id"], json!(sandbox.line.bots[0].id));
        assert!(!seen.stdout.contains(sandbox.token(0)));
    }
    assert_eq!(sandbox.texts("general"), ["404", long.as_str()]);
}

#[test]
fn a_daemon_is_found_where_its_settings_put_it() {
    let daemon = Daemon::start("http://127.0.0.1:9", &[]);
    let folder = Folder::new();
    let (file, nothing) = (folder.join("config.toml"), folder.join("nothing.sock"));
    let (socket, nothing) = (daemon.socket.to_str().unwrap(), nothing.to_str().unwrap());
    fs::write(
        &file,
        format!("[listen]\nunix = \"{socket}\"\ntcp = \"\"\n"),
    )
    .unwrap();
    let tcp = daemon.tcp.to_string();
    let runtime = folder.join("run");
    fs::create_dir(&runtime).unwrap();
    std::os::unix::fs::symlink(socket, runtime.join("discordd.sock")).unwrap();
    for (args, variables) in [
        (vec!["--socket", socket], vec![]),
        (vec!["--config", file.to_str().unwrap()], vec![]),
        (vec![], vec![("DISCORDD_LISTEN__UNIX", socket)]),
        (
            vec![],
            vec![("RUNTIME_DIRECTORY", runtime.to_str().unwrap())],
        ),
        // Nobody is at the socket, so the port is asked.
        (
            vec![],
            vec![
                ("DISCORDD_LISTEN__UNIX", nothing),
                ("DISCORDD_LISTEN__TCP", &tcp),
            ],
        ),
        (
            vec![],
            vec![
                ("DISCORDD_LISTEN__UNIX", ""),
                ("DISCORDD_LISTEN__TCP", &tcp),
            ],
        ),
    ] {
        let seen = call(&[&["health"], &args[..]].concat(), &variables);
        assert_eq!(seen.code, 0, "{args:?} {variables:?}: {}", seen.stderr);
        assert_eq!(seen.json()["status"], "healthy");
    }
}

#[test]
fn an_error_is_printed_for_programs_and_told_to_people() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let channel = format!("channel_id={}", sandbox.channel("general"));
    let url = format!("http://{}", daemon.tcp);
    for at in [
        ["--socket", daemon.socket.to_str().unwrap()],
        ["--url", &url],
    ] {
        let args = ["discord.sendMessage", &channel, "content=hi", at[0], at[1]];
        // Another one each time: one that was refused is not asked for again at once.
        let stranger = format!("{STRANGER}{}", at[0].len());
        let seen = call(&args, &[("DISCORD_TOKEN", &stranger)]);
        assert_eq!(seen.code, 1);
        let error = seen.json();
        assert_eq!(
            (&error["code"], &error["data"]["kind"]),
            (&json!(401), &json!("invalid_token"))
        );
        let told = "discordd: Invalid Discord token (401)\n  delivered: no\n  hint: take ";
        assert!(seen.stderr.starts_with(told), "{}", seen.stderr);
        assert!(!(seen.stdout + &seen.stderr).contains(STRANGER));
        let seen = call(&args, &[]);
        assert_eq!((seen.code, &seen.json()["code"]), (1, &json!(-32602)));
        assert!(
            seen.stderr.contains("hint: set DISCORD_TOKEN"),
            "{}",
            seen.stderr
        );
    }
    assert_eq!(sandbox.stats().messages, 0);
}

#[test]
fn a_daemon_that_is_not_there_ends_with_2_and_says_what_was_tried() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    let socket = socket.to_str().unwrap();
    let seen = call(&["health", "--socket", socket], &[]);
    assert_eq!(seen.code, 2);
    let reason = format!("the daemon cannot be reached: unix:{socket}: no such file or directory");
    assert_eq!(seen.json()["message"], json!(reason));
    assert_eq!(seen.json()["data"]["delivered"], "no");
    assert!(
        seen.stderr.starts_with(&format!("discordd: {reason}")),
        "{}",
        seen.stderr
    );
    let variables = [
        ("DISCORDD_LISTEN__UNIX", socket),
        ("DISCORDD_LISTEN__TCP", "127.0.0.1:9"),
    ];
    let seen = call(&["discord.sendMessage", "content=x"], &variables);
    assert_eq!(seen.code, 2);
    let tried =
        format!("unix:{socket}: no such file or directory; http://127.0.0.1:9: connection refused");
    assert!(seen.stderr.contains(&tried), "{}", seen.stderr);
    assert!(seen.json()["data"]["nonce"].is_null());
}

#[test]
fn what_cannot_be_used_ends_with_64_or_78_and_is_not_repeated() {
    for (args, variables, code, reason) in [
        (vec![], vec![], 64, "<METHOD>"),
        (
            vec!["health", "secret"],
            vec![],
            64,
            "word 1 behind the method is not key=value",
        ),
        (
            vec!["health", "a=1", "a=secret"],
            vec![],
            64,
            "word 2: given twice",
        ),
        (vec!["health", "--params", "secret"], vec![], 64, "--params"),
        (
            vec!["health", "--params", "[]", "a=secret"],
            vec![],
            64,
            "--params",
        ),
        (vec!["health", "--token=secret"], vec![], 64, "--token"),
        (vec!["health", "--timeout", "5"], vec![], 64, "--timeout"),
        (
            vec!["health", "--url", "ftp://localhost"],
            vec![],
            64,
            "an address such as",
        ),
        (
            vec!["health", "--url", "http://a", "--socket", "b"],
            vec![],
            64,
            "--socket",
        ),
        (
            vec!["health", "--config", "/nowhere.toml"],
            vec![],
            78,
            "/nowhere.toml",
        ),
        (
            vec!["health"],
            vec![("DISCORDD_LIMITS__CALLS", "0")],
            78,
            "limits.calls",
        ),
    ] {
        let seen = call(&args, &variables);
        assert_eq!(
            (seen.code, seen.stdout.as_str()),
            (code, ""),
            "{args:?}: {}",
            seen.stderr
        );
        assert!(seen.stderr.contains(reason), "{args:?}: {}", seen.stderr);
        assert!(!seen.stderr.contains("secret"), "{args:?}: {}", seen.stderr);
    }
}

#[test]
fn values_are_sent_as_they_were_typed() {
    let typed = [
        "discord.sendMessage",
        "channel_id=1184031022407147523",
        "content=007",
        "flags=4",
        "nonce=1",
        "embeds=[{\"color\":12345678901234567890}]",
    ];
    let expected = r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{"channel_id":1184031022407147523,"content":"007","embeds":[{"color":12345678901234567890}],"flags":4,"nonce":1}}"#;
    assert_eq!(sent(&typed, &[]).trim_end(), expected);
    let json = r#"{"content": "a", "nonce": 1, "flags": 18446744073709551615}"#;
    let expected = r#"{"content":"b","flags":18446744073709551615,"nonce":1}"#;
    let asked = sent(&["discord.sendMessage", "content=b", "--params", json], &[]);
    assert!(asked.contains(expected), "{asked}");
    let asked = sent(
        &["discord.sendMessage", "--params", "[\"t\", 1]"],
        &[("DISCORD_TOKEN", STRANGER)],
    );
    assert!(asked.contains(r#""params":["t", 1]"#), "{asked}");
}

#[test]
fn params_can_come_from_standard_input() {
    let fake = Fake::answering(Some(DONE));
    let args = [
        "call",
        "later.method",
        "--params",
        "-",
        "--socket",
        fake.path(),
    ];
    let mut child = discordd(&args, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\n  \"a\": 1\n}\n")
        .unwrap();
    assert_eq!(
        child.wait_with_output().unwrap().stdout,
        b"{\"done\":true}\n"
    );
    assert!(fake.asked().contains(r#""params":{"a":1}"#));
}

#[test]
fn the_token_goes_to_methods_of_discord_only_and_a_param_wins() {
    let token = [("DISCORD_TOKEN", STRANGER)];
    for (typed, expected) in [
        (vec!["discord.later"], json!({"discord_token": STRANGER})),
        (
            vec!["discord.later", "discord_token=5"],
            json!({"discord_token": "5"}),
        ),
        (vec!["health"], json!({})),
        (vec!["rpc.discover"], json!({})),
    ] {
        let asked: Value = serde_json::from_str(&sent(&typed, &token)).unwrap();
        assert_eq!(asked["params"], expected, "{typed:?}");
    }
}

#[test]
fn a_call_that_was_sent_and_not_answered_can_be_repeated_with_its_nonce() {
    let address = Upstream::answering("");
    let url = address.base_url();
    let fake = Fake::answering(Some(""));
    for at in [["--socket", fake.path()], ["--url", &url]] {
        let args = ["discord.sendMessage", "content=hi", at[0], at[1]];
        let seen = call(&args, &[("DISCORD_TOKEN", STRANGER)]);
        assert_eq!(seen.code, 1);
        let error = seen.json();
        assert_eq!(
            (&error["code"], &error["data"]["delivered"]),
            (&json!(503), &json!("unknown"))
        );
        let nonce = error["data"]["nonce"].as_str().unwrap();
        let hint = format!("hint: repeat the call with nonce={nonce}");
        assert!(
            seen.stderr.contains("was lost before the answer"),
            "{}",
            seen.stderr
        );
        assert!(seen.stderr.contains(&hint), "{}", seen.stderr);
        assert!(!(seen.stdout.clone() + &seen.stderr).contains(STRANGER));
        if at[0] == "--socket" {
            let asked: Value = serde_json::from_str(&fake.asked()).unwrap();
            assert_eq!(asked["params"]["nonce"], json!(nonce));
        }
    }
    let own = call(
        &["discord.sendMessage", "nonce=mine", "--socket", fake.path()],
        &[],
    );
    assert_eq!(own.json()["data"]["nonce"], "mine");
    // Without a nonce there is no safe repeat, and what only looks can always be repeated.
    let other = call(&["discord.later", "--socket", fake.path()], &[]);
    assert_eq!(other.json()["data"]["delivered"], "unknown");
    assert_eq!(other.json()["data"]["retryable"], false);
    let health = call(&["health", "--socket", fake.path()], &[]);
    assert_eq!(
        (health.code, &health.json()["data"]["retryable"]),
        (1, &json!(true))
    );
}

#[test]
fn what_is_no_answer_is_told_apart_from_an_error() {
    for answer in ["SSH-2.0-OpenSSH\n", "{\"a\":1}\n", "[]\n"] {
        let fake = Fake::answering(Some(answer));
        let seen = call(&["discord.sendMessage", "--socket", fake.path()], &[]);
        assert_eq!(
            (seen.code, &seen.json()["code"]),
            (1, &json!(502)),
            "{answer}"
        );
        assert!(seen.json()["data"]["nonce"].is_string());
    }
    let page = Upstream::answering(http("404 Not Found", "", "<html>"));
    let seen = call(&["health", "--url", &page.base_url()], &[]);
    assert_eq!(
        (seen.code, &seen.json()["data"]["kind"]),
        (1, &json!("bad_answer"))
    );
}

#[test]
fn the_timeout_bounds_the_wait_for_the_answer() {
    let fake = Fake::answering(None);
    let args = [
        "discord.sendMessage",
        "--timeout",
        "50ms",
        "--socket",
        fake.path(),
    ];
    let seen = call(&args, &[]);
    assert_eq!((seen.code, &seen.json()["code"]), (1, &json!(504)));
    assert!(
        seen.stderr.contains("did not answer within 50ms"),
        "{}",
        seen.stderr
    );
    assert_eq!(seen.json()["data"]["delivered"], "unknown");
}

#[test]
fn a_token_in_the_variable_is_not_in_the_list_of_processes() {
    let fake = Fake::answering(None);
    let mut child = discordd(
        &["call", "discord.later", "--socket", fake.path()],
        &[("DISCORD_TOKEN", STRANGER)],
    )
    .spawn()
    .unwrap();
    assert!(fake.asked().contains(STRANGER));
    let line = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        line.contains("discord.later") && !line.contains(STRANGER),
        "{line}"
    );
}

#[test]
fn a_reader_that_is_gone_is_a_normal_end() {
    let fake = Fake::answering(Some(DONE));
    for args in [
        vec!["call", "later.method", "--socket", fake.path()],
        vec!["config", "default"],
        vec!["completions", "bash"],
        vec!["man"],
        vec!["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = discordd(&args, &[]).stdout(writer).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}
