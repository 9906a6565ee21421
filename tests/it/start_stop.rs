//! How the daemon starts, what it refuses to start with, and how it ends.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    daemon::{Daemon, Folder, run},
    http::Client,
    lines::Lines,
    upstream::Upstream,
};

const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn the_socket_has_its_mode_and_is_removed_at_the_end() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    let mode = |daemon: &Daemon| {
        let permissions = fs::metadata(&daemon.socket).unwrap().permissions();
        permissions.mode() & 0o777
    };
    let daemon = Daemon::at(&socket, NOWHERE, &[]);
    assert_eq!(mode(&daemon), 0o660);
    daemon.stop();
    assert!(!socket.exists());
    let daemon = Daemon::at(&socket, NOWHERE, &[("DISCORDD_LISTEN__UNIX_MODE", "0600")]);
    assert_eq!(mode(&daemon), 0o600);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_left_alone() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let daemon = Daemon::at(&socket, NOWHERE, &[]);
    let path = socket.to_str().unwrap();
    let second = run(&["serve", "--unix", path, "--tcp", ""], &[]);
    assert_eq!(second.status.code(), Some(69));
    let complaint = String::from_utf8(second.stderr).unwrap();
    assert!(
        complaint.contains(path) && complaint.contains("in use"),
        "{complaint}"
    );
    assert_eq!(
        daemon.call("health", &json!({}))["result"]["status"],
        "healthy"
    );
}

#[test]
fn a_socket_left_by_a_kill_is_replaced() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    let daemon = Daemon::at(&socket, NOWHERE, &[]);
    daemon.signal(Signal::KILL);
    daemon.wait();
    assert!(socket.exists());
    let daemon = Daemon::at(&socket, NOWHERE, &[]);
    assert_eq!(
        daemon.call("health", &json!({}))["result"]["status"],
        "healthy"
    );
}

#[test]
fn what_cannot_start_ends_with_a_code_and_names_the_reason() {
    let folder = Folder::new();
    let file = folder.join("file");
    fs::write(&file, "not a socket").unwrap();
    let config = folder.join("config.toml");
    fs::write(&config, "[limits]\ncal_timeout = \"8s\"\n").unwrap();
    let (file, config) = (file.to_str().unwrap(), config.to_str().unwrap());
    for (args, variables, code, reason) in [
        (vec!["--no-such-flag"], vec![], 64, "--no-such-flag"),
        (vec!["--unix", file, "--tcp", ""], vec![], 73, "no socket"),
        (
            vec!["--unix", "/nowhere/at/all/s.sock"],
            vec![],
            73,
            "/nowhere/at/all/s.sock",
        ),
        (vec!["--unix", "", "--tcp", ""], vec![], 78, "no door"),
        (
            vec!["--unix", "", "--tcp", "0.0.0.0:0"],
            vec![],
            78,
            "allow_insecure_tcp",
        ),
        (
            vec!["--unix", "", "--tcp", "nonsense"],
            vec![],
            78,
            "nonsense",
        ),
        (vec!["--config", config], vec![], 78, "cal_timeout"),
        (vec!["--config", config], vec![], 78, config),
        (
            vec!["--config", "/nowhere.toml"],
            vec![],
            78,
            "/nowhere.toml",
        ),
        (vec!["--log", "a=b=c"], vec![], 78, "log.filter"),
        (
            vec![],
            vec![("DISCORDD_LIMITS__CALLS", "many")],
            78,
            "DISCORDD_LIMITS__CALLS",
        ),
        (
            vec![],
            vec![("DISCORDD_LIMITS__CALL_TIMEOUT", "8")],
            78,
            "\"8s\"",
        ),
        (
            vec![],
            vec![("DISCORDD_DISCORD__BASE_URL", "discord.com")],
            78,
            "https://discord.com",
        ),
        (
            vec![],
            vec![("DISCORDD_LIMITS__CONNECTIONS", "9000000000000000000")],
            78,
            "limits.connections",
        ),
        (
            vec![],
            vec![("DISCORDD_LIMITS__IDLE_TIMEOUT", "500000years")],
            78,
            "limits.idle_timeout",
        ),
        (
            vec![],
            vec![("DISCORDD_LIMITS__RESPONSE_BYTES", "0B")],
            78,
            "limits.response_bytes",
        ),
        (
            vec!["--unix", "", "--tcp", "127.0.0.1:0"],
            vec![("SSL_CERT_FILE", "/nowhere.pem")],
            78,
            "/nowhere.pem",
        ),
        (
            vec![],
            vec![("HTTPS_PROXY", "ftp://user:hunter2@127.0.0.1:9")],
            78,
            "HTTPS_PROXY",
        ),
        (
            vec![],
            vec![("DISCORDD_LIMITS__CALLS", "0")],
            78,
            "limits.calls",
        ),
    ] {
        let args = [&["serve"], &args[..]].concat();
        let output = run(&args, &variables);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?} {variables:?}: {complaint}"
        );
        assert!(!complaint.contains("hunter2"), "{complaint}");
        assert!(
            complaint.contains(reason),
            "{args:?} {variables:?}: {complaint}"
        );
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "not a socket");
}

#[test]
fn settings_come_from_file_environment_and_flags_in_that_order() {
    let folder = Folder::new();
    let config = folder.join("config.toml");
    fs::write(&config, "[limits]\ncall_timeout = \"7s\"\ncalls = 3\n").unwrap();
    let socket = folder.join("s.sock");
    // Plain `discordd` is `discordd serve`; a flag is over the variable that Daemon::at gives.
    let daemon = Daemon::at(
        &socket,
        NOWHERE,
        &[
            ("DISCORDD_LISTEN__UNIX", "/nowhere/s.sock"),
            ("DISCORDD_LIMITS__CALL_TIMEOUT", "9s"),
            ("DISCORDD_PORT", "tcp://10.0.0.1:9091"),
            ("DISCORDD_LIMITS__NONSENSE", "1"),
        ],
    );
    let params = json!({"discord_token": "t", "channel_id": 1, "content": "x", "timeout_ms": 9001});
    let answer = daemon.call("discord.sendMessage", &params);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("from 1 to 9000"), "{message}");
    let log = daemon.stop();
    let warned = |name: &str| {
        log.lines()
            .any(|it| it.contains("WARN") && it.contains(name))
    };
    assert!(warned("DISCORDD_LIMITS__NONSENSE"), "{log}");
    assert!(!warned("DISCORDD_PORT"), "{log}");

    let args = [
        "--config",
        config.to_str().unwrap(),
        "--unix",
        "",
        "--tcp",
        "127.0.0.1:0",
    ];
    let output = run(&args, &[("DISCORDD_LIMITS__BATCH", "0")]);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn a_call_under_way_is_answered_when_the_daemon_is_told_to_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let (upstream, gate) = Upstream::gated();
        let daemon = Daemon::start(&upstream.base_url(), &[]);
        let mut lines = daemon.lines();
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "discord.sendMessage",
            "params": ["t", 1, "x"]});
        lines.send(call.to_string().as_bytes());
        gate.wait();
        let idle = daemon.lines();
        daemon.signal(signal);
        // The idle connection is closed; the other one waits for its answer.
        assert_eq!(idle.rest(), [json!(null); 0]);
        while daemon.socket.exists() {
            std::thread::yield_now();
        }
        gate.open();
        let answers = lines.rest();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0]["error"]["code"], 404);
        let (status, log) = daemon.wait();
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

#[test]
fn a_second_signal_or_the_drain_timeout_ends_calls_that_hang() {
    for (variables, signals) in [
        (vec![("DISCORDD_LIMITS__DRAIN_TIMEOUT", "100ms")], 1),
        (vec![], 2),
    ] {
        let (upstream, gate) = Upstream::gated();
        let daemon = Daemon::start(&upstream.base_url(), &variables);
        let mut lines = daemon.lines();
        lines.send(
            br#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":["t",1,"x"]}"#,
        );
        gate.wait();
        for _ in 0..signals {
            daemon.signal(Signal::TERM);
            daemon.wait_for_log("stopping");
        }
        let (status, log) = daemon.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("calls were cut"), "{log}");
    }
}

#[test]
fn a_call_that_comes_while_the_daemon_stops_is_refused() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let mut lines = daemon.lines();
    let call = |id: i32| json!({"jsonrpc": "2.0", "id": id, "method": "discord.sendMessage", "params": ["t", 1, "x"]});
    lines.send(call(1).to_string().as_bytes());
    gate.wait();
    let mut http = daemon.http();
    let body = call(9).to_string();
    let headers = [("content-type", "application/json")];
    http.begin("POST", "/", &headers, body.len());
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("stopping");
    let over_http = http.finish(body.as_bytes()).json();
    assert_eq!(over_http["error"]["code"], 503, "{over_http}");
    // A notification is not answered, and a batch is answered by one.
    let mut notification = call(0);
    notification.as_object_mut().unwrap().remove("id");
    lines.send(notification.to_string().as_bytes());
    let batch = lines.ask(&json!([call(3), notification, call(4)]));
    assert_eq!(batch.as_array().unwrap().len(), 2, "{batch}");
    assert_eq!(batch[1]["error"]["code"], 503);
    let refused = lines.ask(&call(2));
    assert_eq!(refused["id"], 2);
    assert_eq!(refused["error"]["code"], 503);
    assert_eq!(refused["error"]["data"]["delivered"], "no");
    assert_eq!(refused["error"]["data"]["retryable"], true);
    gate.open();
    assert_eq!(lines.rest()[0]["id"], 1);
    assert_eq!(daemon.wait().0.code(), Some(0));
    assert_eq!(upstream.requests(), 1);
}

#[test]
fn there_may_be_several_doors_of_each_kind() {
    let folder = Folder::new();
    let config = folder.join("config.toml");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let toml = format!(
        "[listen]\nunix = [{:?}, {:?}]\ntcp = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n\
         [[door]]\nname = \"agents\"\naddress = \"unix:{}\"\nmode = \"0600\"\n\
         [[door]]\naddress = \"tcp:localhost:0\"\n",
        path("a.sock"),
        path("b.sock"),
        path("c.sock"),
    );
    fs::write(&config, toml).unwrap();
    let daemon = Daemon::with(
        &["serve", "--config", config.to_str().unwrap()],
        NOWHERE,
        &[],
    );
    let mut ports: Vec<SocketAddr> = daemon
        .addresses("tcp:")
        .iter()
        .map(|it| it.parse().unwrap())
        .collect();
    ports.dedup();
    assert_eq!(ports.len(), 3);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "health"});
    for port in ports {
        assert_eq!(Lines::tcp(port).ask(&call)["id"], 1);
    }
    for (name, mode) in [("a.sock", 0o660), ("b.sock", 0o660), ("c.sock", 0o600)] {
        let socket = folder.join(name);
        assert_eq!(Lines::unix(&socket).ask(&call)["id"], 1);
        assert_eq!(
            fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    let log = daemon.stop();
    assert!(log.contains(r#""door":"agents","address":"unix:"#), "{log}");
    for name in ["a.sock", "b.sock", "c.sock"] {
        assert!(!folder.join(name).exists());
    }
}

#[test]
fn a_socket_has_its_group_and_nothing_is_left_of_making_it() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    // Only root may give a socket to any group; everybody may to a group of their own.
    let group = rustix::process::getgid().as_raw().to_string();
    let daemon = Daemon::at(&socket, NOWHERE, &[("DISCORDD_LISTEN__UNIX_GROUP", &group)]);
    let found = fs::metadata(&socket).unwrap();
    assert_eq!(found.gid().to_string(), group);
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    assert_eq!(daemon.call("health", &json!({}))["id"], 1);
    assert!(!folder.join("s.sock.new").exists());
    daemon.signal(Signal::KILL);
    daemon.wait();
    let daemon = Daemon::at(&socket, NOWHERE, &[("DISCORDD_LISTEN__UNIX_GROUP", &group)]);
    daemon.stop();
    assert!(!socket.exists());
    let unknown = [("DISCORDD_LISTEN__UNIX_GROUP", "no-such-group-here")];
    let output = run(&["--unix", socket.to_str().unwrap(), "--tcp", ""], &unknown);
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn probes_tell_live_from_ready() {
    let (upstream, gate) = Upstream::gated();
    let daemon = Daemon::start(&upstream.base_url(), &[]);
    let status = |client: &mut Client, path: &str| client.send("GET", path, &[], b"").status;
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        assert_eq!(status(&mut daemon.http(), path), 200, "{path}");
    }
    let mut lines = daemon.lines();
    lines.send(br#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":["t",1,"x"]}"#);
    gate.wait();
    // A connection whose request has begun is still served while the daemon stops.
    let (mut ready, mut health) = (daemon.http(), daemon.http());
    ready.begin_head("GET", "/readyz");
    health.begin_head("GET", "/health");
    daemon.call("health", &json!({}));
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("stopping");
    assert_eq!(ready.finish(b"\r\n").status, 503);
    assert_eq!(health.finish(b"\r\n").json()["status"], "draining");
    gate.open();
    assert_eq!(lines.rest().len(), 1);
    assert_eq!(daemon.wait().0.code(), Some(0));
}
