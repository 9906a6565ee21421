//! Calls that end before their answer: at their time, or because nobody waits for it any more.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_linger;
use serde_json::{Value, json};

use crate::support::{
    daemon::Daemon, lines::Lines, many::settle, sandbox::SandboxProcess, upstream::Upstream,
    websocket::Socket,
};

/// Less than a call's own time, so that what is waited for came before that.
const SOON: Duration = Duration::from_secs(20);

/// What became of a request: whether its connection was closed before it was answered.
struct Watched {
    upstream: Upstream,
    /// The path of each request that came.
    came: Receiver<String>,
    /// The path of each request whose connection was closed by the daemon.
    closed: Receiver<String>,
}

impl Watched {
    /// Never answers.
    fn silent() -> Self {
        let (arrived, came) = mpsc::channel();
        let (close, closed) = mpsc::channel();
        let (arrived, close) = (Mutex::new(arrived), Mutex::new(close));
        let upstream = Upstream::start(move |request, stream| {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            // The test may be over.
            let _ = arrived.lock().unwrap().send(path.clone());
            if matches!(stream.read(&mut [0]), Ok(0) | Err(_)) {
                let _ = close.lock().unwrap().send(path);
            }
        });
        Self {
            upstream,
            came,
            closed,
        }
    }

    /// Waits until a read has come that asks for this guild.
    fn assert_came(&self, guild: u64) {
        wait_for(&self.came, guild);
    }

    /// Waits until that read, which nobody waits for any more, was given up.
    fn assert_given_up(&self, guild: u64) {
        wait_for(&self.closed, guild);
    }
}

fn wait_for(paths: &Receiver<String>, guild: u64) {
    let wanted = format!("/guilds/{guild}/channels");
    while !paths.recv_timeout(SOON).unwrap().contains(&wanted) {}
}

fn read_call(guild: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "discord.listChannels",
        "params": {"discord_token": "made-up", "guild_id": guild}})
}

fn send_call(sandbox: &SandboxProcess) -> Value {
    json!({"jsonrpc": "2.0", "id": 2, "method": "discord.sendMessage",
        "params": {"discord_token": sandbox.token(0), "channel_id": sandbox.channel("general"),
            "content": "hello"}})
}

fn as_http(call: &Value) -> String {
    let body = call.to_string();
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_read_ends_when_its_caller_is_gone() {
    let watched = Watched::silent();
    let daemon = Daemon::start(&watched.upstream.base_url(), &[]);
    let raw = |guild| read_call(guild).to_string();
    let http = |guild| as_http(&read_call(guild));
    for (guild, bytes) in [(1, raw(1)), (2, http(2))] {
        let mut unix = UnixStream::connect(&daemon.socket).unwrap();
        unix.write_all(bytes.as_bytes()).unwrap();
        watched.assert_came(guild);
        drop(unix);
        watched.assert_given_up(guild);
    }
    for (guild, bytes) in [(3, raw(3)), (4, http(4))] {
        let mut tcp = TcpStream::connect(daemon.tcp).unwrap();
        tcp.write_all(bytes.as_bytes()).unwrap();
        watched.assert_came(guild);
        // Closes by RST: the end of the input alone does not say that nobody reads.
        set_socket_linger(&tcp, Some(Duration::ZERO)).unwrap();
        drop(tcp);
        watched.assert_given_up(guild);
    }
    let mut socket = Socket::connect(&daemon);
    socket.send(&raw(5));
    watched.assert_came(5);
    drop(socket);
    watched.assert_given_up(5);
}

#[test]
fn calls_that_end_early_leave_nothing() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let token = sandbox.token(0);
    let idle = daemon.http().figures();
    for hang in ["head", "body"] {
        sandbox.own("DELETE", "/faults", "");
        sandbox.fault(&json!({"times": 0, "do": {"hang": hang}}));
        let mut lines = daemon.lines();
        for id in 0..40 {
            let (method, params) = if id % 2 == 0 {
                let channel = sandbox.channel("general");
                (
                    "discord.sendMessage",
                    json!({"channel_id": channel, "content": "hello"}),
                )
            } else {
                ("discord.listChannels", json!({}))
            };
            let mut call = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            call["params"]["discord_token"] = json!(token);
            call["params"]["timeout_ms"] = json!(300);
            lines.send(call.to_string().as_bytes());
        }
        for _ in 0..40 {
            assert_eq!(lines.read()["error"]["code"], 504);
        }
        let mut gone = UnixStream::connect(&daemon.socket).unwrap();
        let mut call = read_call(9);
        call["params"]["discord_token"] = json!(token);
        gone.write_all(call.to_string().as_bytes()).unwrap();
    }
    let left = ["discordd_runtime_tasks", "process_open_fds"];
    let settled = |now: &HashMap<String, f64>| left.iter().all(|name| now[*name] <= idle[*name]);
    let after = settle(&daemon, settled);
    assert!(settled(&after), "{idle:?} became {after:?}");
}

/// Waits until the sandbox has so many messages; more would be wrong too.
fn assert_posted(sandbox: &SandboxProcess, messages: u64) {
    let begun = Instant::now();
    while sandbox.stats().messages < messages {
        assert!(begun.elapsed() < SOON, "{:?}", sandbox.stats());
    }
    assert_eq!(sandbox.stats().messages, messages);
}

#[test]
fn a_message_is_sent_to_its_end_although_its_caller_is_gone() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    // Longer than the daemon goes without looking whether somebody waits.
    sandbox.fault(&json!({"times": 0, "do": {"delay_ms": 2000}}));
    let call = send_call(&sandbox);
    for bytes in [call.to_string(), as_http(&call)] {
        let mut unix = UnixStream::connect(&daemon.socket).unwrap();
        unix.write_all(bytes.as_bytes()).unwrap();
        let mut tcp = TcpStream::connect(daemon.tcp).unwrap();
        tcp.write_all(bytes.as_bytes()).unwrap();
    }
    let mut socket = Socket::connect(&daemon);
    socket.send(&call.to_string());
    drop(socket);
    assert_posted(&sandbox, 5);
}

#[test]
fn all_that_a_caller_sent_before_it_went_is_carried_out() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    let call = send_call(&sandbox);
    let mut notification = call.clone();
    notification.as_object_mut().unwrap().remove("id");
    // More than are begun at once.
    let mut unix = UnixStream::connect(&daemon.socket).unwrap();
    for _ in 0..100 {
        writeln!(unix, "{call}").unwrap();
        writeln!(unix, "{notification}").unwrap();
    }
    drop(unix);
    assert_posted(&sandbox, 200);
    let mut unix = UnixStream::connect(&daemon.socket).unwrap();
    // Longer than one read.
    let long =
        as_http(&notification).replace("hello\"", &format!("hello\"{}", " ".repeat(100_000)));
    let length = notification.to_string().len();
    let long = long.replace(&length.to_string(), &(length + 100_000).to_string());
    unix.write_all(long.as_bytes()).unwrap();
    drop(unix);
    assert_posted(&sandbox, 201);
}

#[test]
fn what_ended_its_input_is_still_answered() {
    let sandbox = SandboxProcess::start(&[]);
    let daemon = Daemon::start(&format!("http://{}", sandbox.line.http), &[]);
    sandbox.fault(&json!({"times": 0, "do": {"delay_ms": 2000}}));
    let mut call = read_call(1);
    call["params"] = json!({"discord_token": sandbox.token(0)});
    std::thread::scope(|scope| {
        for lines in [daemon.lines(), Lines::tcp(daemon.tcp)] {
            let raw = call.to_string();
            scope.spawn(move || {
                let answers = lines.exchange(raw.as_bytes());
                assert_eq!(answers[0]["result"]["count"], 3, "{answers:?}");
            });
        }
        for mut lines in [daemon.lines(), Lines::tcp(daemon.tcp)] {
            let http = as_http(&call);
            scope.spawn(move || {
                lines.send(http.as_bytes());
                lines.end();
                let answer = lines.rest_of_text();
                assert!(answer.contains(r#""count":3"#), "{answer}");
            });
        }
    });
}
