//! `discordd health`: what it prints, and what it ends with.

use serde_json::Value;

use crate::support::{
    daemon::{Daemon, Folder, run},
    fake::Fake,
};

/// Asks, and gives the exit code with what was printed on both.
fn health(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = run(&[&["health"], args].concat(), variables);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stdout, stderr)
}

#[test]
fn a_healthy_daemon_is_told_on_one_line() {
    let daemon = Daemon::start("http://127.0.0.1:9", &[]);
    let url = format!("http://{}", daemon.tcp);
    let socket = daemon.socket.to_str().unwrap();
    for (args, variables) in [
        // With an address no setting is needed, not even one that can be used.
        (
            vec!["--socket", socket],
            vec![("DISCORDD_LIMITS__CALLS", "0")],
        ),
        (vec!["--url", &url], vec![]),
        (vec![], vec![("DISCORDD_LISTEN__UNIX", socket)]),
    ] {
        let (code, stdout, stderr) = health(&args, &variables);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(stdout.starts_with("healthy, version "), "{stdout}");
        assert!(stdout.ends_with(", upstream: 127.0.0.1\n"), "{stdout}");
        assert_eq!(stdout.matches('\n').count(), 1, "{stdout}");
    }
    let (code, stdout, _) = health(&["--socket", socket, "--json"], &[]);
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &object["status"]), (0, &"healthy".into()));
    assert_eq!(object["upstream"], "127.0.0.1");
}

#[test]
fn a_daemon_that_answers_otherwise_ends_with_1() {
    let draining = r#"{"status":"draining","stateless":true,"version":"1","uptime_seconds":1,"in_flight":2,"upstream":"discord"}"#;
    for (answer, stdout, stderr) in [
        (
            format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{draining}}}\n"),
            "draining, version 1",
            "",
        ),
        (
            "{\"error\":{\"code\":503,\"message\":\"no\"}}\n".to_owned(),
            "",
            "with an error",
        ),
        ("{\"result\":true}\n".to_owned(), "", "no discordd"),
        ("nonsense\n".to_owned(), "", "cannot be read"),
        (String::new(), "", "was lost"),
    ] {
        let fake = Fake::answering(Some(&answer));
        let seen = health(&["--socket", fake.path()], &[]);
        assert_eq!(seen.0, 1, "{answer}");
        assert!(
            seen.1.starts_with(stdout) && seen.2.contains(stderr),
            "{seen:?}"
        );
        assert_eq!(
            (seen.1.is_empty(), seen.2.is_empty()),
            (stdout.is_empty(), stderr.is_empty())
        );
        // What answers lives, unless it is something else.
        let lives = answer.contains("draining") || answer.contains("error");
        let (code, ..) = health(&["--live", "--socket", fake.path()], &[]);
        assert_eq!(code, i32::from(!lives), "{answer}");
    }
    let fake = Fake::answering(None);
    let (code, _, stderr) = health(&["--socket", fake.path(), "--timeout", "50ms"], &[]);
    assert_eq!(code, 1);
    assert!(stderr.contains("did not answer within 50ms"), "{stderr}");
    let args = [
        "--socket",
        fake.path(),
        "--timeout",
        "50ms",
        "--live",
        "--json",
    ];
    let (code, stdout, _) = health(&args, &[]);
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &object["data"]["kind"]), (1, &"timed_out".into()));
}

#[test]
fn a_daemon_that_is_not_there_ends_with_2() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    let (code, stdout, stderr) = health(&["--socket", socket.to_str().unwrap()], &[]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains(socket.to_str().unwrap()), "{stderr}");
    let args = ["--live", "--json", "--socket", socket.to_str().unwrap()];
    let (code, stdout, _) = health(&args, &[]);
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &object["data"]["kind"]), (2, &"unavailable".into()));
    let (code, _, stderr) = health(&["--url", "http://127.0.0.1:9"], &[]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("http://127.0.0.1:9: connection refused"),
        "{stderr}"
    );
}

#[test]
fn what_cannot_be_used_ends_with_64_or_78() {
    assert_eq!(health(&["--no-such-flag"], &[]).0, 64);
    assert_eq!(health(&[], &[("DISCORDD_LIMITS__CALLS", "0")]).0, 78);
}
