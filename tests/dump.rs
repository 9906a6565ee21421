//! What is left of calls in the daemon's memory, and who may look at it.
//!
//! It needs gdb, and root or the right to trace: plain `cargo test` leaves it out,
//! `cargo test --test dump`.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test, or what it is made of, ends where it went wrong"
)]
#![cfg(feature = "sandbox")]

#[path = "it/support/mod.rs"]
mod support;

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Read, Write as _},
    net::Ipv4Addr,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use discordd::operation::TABLE;
use memchr::memmem::Finder;
use rustix::process::getuid;
use serde_json::{Value, json};

use support::{
    daemon::{Daemon, Folder},
    http::Client,
    lines::Lines,
    many::{TEXT, TOKEN_PARTS, call, params, send_all, settle, text, token},
    sandbox::{FAULTS, SandboxProcess},
    websocket::Socket,
};

/// Calls that succeed, each with a token and a text of its own.
const CALLS: u64 = 10_000;
/// Calls that succeed over TLS to the far side.
const CALLS_OVER_TLS: u64 = 2_000;
/// Half a call, and connections without one, stay as long as the test.
const PATIENT: [(&str, &str); 3] = [
    ("DISCORDD_LIMITS__BODY_TIMEOUT", "1h"),
    ("DISCORDD_LIMITS__HEADER_TIMEOUT", "1h"),
    ("DISCORDD_LIMITS__IDLE_TIMEOUT", "1h"),
];
/// The number of the token and the text that must be found.
const CONTROL: u64 = 999_999;
/// The numbers of those that connections had last which are still open.
const LAST_OF_LINES: u64 = 900_001;
const LAST_OF_WEBSOCKET: u64 = 900_002;
const LAST_OF_HTTP: u64 = 900_003;
/// How much of a dump is looked at at once, in bytes.
const CHUNK_BYTES: usize = 16 << 20;
/// Longest thing that is looked for, in bytes.
const OVERLAP_BYTES: usize = 256;
/// Digits of a number in a token or a text.
const DIGITS: usize = 6;
/// The user id of nobody.
const NOBODY: u32 = 65534;

/// What of the calls is in a dump.
#[derive(Default)]
struct Found {
    bytes: u64,
    tokens: BTreeSet<u64>,
    texts: BTreeSet<u64>,
    /// Parts of tokens that are not whole ones.
    fragments: usize,
}

impl Found {
    /// Looks through a dump.
    fn in_file(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let mut found = Self {
            bytes: file.metadata().unwrap().len(),
            ..Self::default()
        };
        let mut bytes = Vec::with_capacity(CHUNK_BYTES + OVERLAP_BYTES);
        loop {
            let from = bytes.len();
            let chunk = u64::try_from(CHUNK_BYTES).unwrap();
            let read = (&file).take(chunk).read_to_end(&mut bytes).unwrap();
            found.look_at(&bytes);
            if read == 0 {
                return found;
            }
            let seen = (from + read).saturating_sub(OVERLAP_BYTES);
            bytes.drain(..seen);
        }
    }

    fn look_at(&mut self, bytes: &[u8]) {
        for at in Finder::new(TEXT).find_iter(bytes) {
            if let Some(number) = number(&bytes[at + TEXT.len()..]) {
                self.texts.insert(number);
            }
        }
        let (begin, end) = TOKEN_PARTS;
        for at in Finder::new(begin).find_iter(bytes) {
            let number = number(&bytes[at + begin.len()..]);
            let whole = number.filter(|number| {
                let token = token(*number);
                let start = at.checked_sub(token.find(begin).unwrap());
                start.is_some_and(|start| bytes[start..].starts_with(token.as_bytes()))
            });
            match whole {
                Some(number) => drop(self.tokens.insert(number)),
                None => self.fragments += 1,
            }
        }
        for at in Finder::new(end).find_iter(bytes) {
            let before = &bytes[..at.saturating_sub(DIGITS)];
            if !before.ends_with(begin.as_bytes()) {
                self.fragments += 1;
            }
        }
    }
}

/// Reads a number at the start of `bytes`.
fn number(bytes: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(bytes.get(..DIGITS)?).ok()?;
    digits.parse().ok()
}

/// Writes the memory of a process to a file.
fn dump(pid: u32, folder: &Folder) -> PathBuf {
    let start = folder.join("core");
    let output = Command::new("gcore")
        .arg("-a")
        .arg("-o")
        .arg(&start)
        .arg(pid.to_string())
        .output()
        .expect("gdb is installed");
    let file = start.with_extension(pid.to_string());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && file.exists(), "{said}");
    file
}

/// Lets every operation go wrong in every way, each time with tokens of its own, from this number.
fn fail(sandbox: &SandboxProcess, daemon: &Daemon, first: u64) -> u64 {
    let mut number = first;
    for fault in FAULTS {
        sandbox.fault_all(fault);
        for entry in TABLE.iter().filter(|entry| entry.takes_token()) {
            let ask = |number: u64, in_params: bool| {
                let token = token(number);
                let own = in_params.then_some(token.as_str());
                let mut params = params(entry, own, sandbox.channel("general"), &text(number));
                params["timeout_ms"] = json!(200);
                let call =
                    json!({"jsonrpc": "2.0", "id": 1, "method": entry.name, "params": params});
                (format!("Bot {token}"), call)
            };
            let (_, in_lines) = ask(number, true);
            let (header, in_http) = ask(number + 1, false);
            let (_, in_websocket) = ask(number + 2, true);
            let answers = [
                daemon.lines().ask(&in_lines),
                daemon.post(&[("authorization", &header)], &in_http).json(),
                Socket::connect(daemon).ask(&in_websocket.to_string()),
            ];
            number += 3;
            for answer in answers {
                let failed = answer["error"].is_object() || entry.name == "discord.listChannels";
                assert!(failed || fault.contains("oversize"), "{fault}: {answer}");
            }
        }
    }
    assert_eq!(sandbox.own("DELETE", "/faults", "").status, 204);
    number
}

fn succeeded(answer: &Value) {
    assert_eq!(answer["result"]["success"], true, "{answer}");
}

#[test]
fn of_ten_thousand_calls_no_token_and_no_text_is_left_in_memory() {
    let sandbox = SandboxProcess::start(&["--any-token"]);
    let base_url = format!("http://{}", sandbox.line.http);
    hold(&sandbox, &Daemon::start(&base_url, &PATIENT), CALLS);
}

#[test]
fn of_calls_over_tls_no_token_and_no_text_is_left_in_memory() {
    let folder = Folder::new();
    let ca_file = folder.join("ca.pem");
    let ca_file = ca_file.to_str().unwrap();
    let args = ["--any-token", "--tls", "127.0.0.1:0", "--ca-file", ca_file];
    let sandbox = SandboxProcess::start(&args);
    let base_url = format!("https://localhost:{}", sandbox.line.tls.unwrap().port());
    let [body, header, idle] = PATIENT;
    let variables = [body, header, idle, ("DISCORDD_DISCORD__CA_FILE", ca_file)];
    hold(
        &sandbox,
        &Daemon::start(&base_url, &variables),
        CALLS_OVER_TLS,
    );
}

/// Makes so many calls and more that fail, and holds that nothing of them is left in the daemon.
fn hold(sandbox: &SandboxProcess, daemon: &Daemon, calls: u64) {
    let channel = sandbox.channel("general");
    // Half a call: whatever else is found, this is.
    let mut half = daemon.lines();
    let control = call(CONTROL, channel).to_string();
    half.send(control.strip_suffix('}').unwrap().as_bytes());

    send_all(daemon, channel, 0..calls);
    let mut lines = Lines::tcp(daemon.tcp);
    // With the token as far in front as it can be, where the framing was told by.
    let (token, text) = (token(LAST_OF_LINES), text(LAST_OF_LINES));
    lines.send(format!(r#"{{"params":["{token}",{channel},"{text}"],"#).as_bytes());
    lines.send(b"\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"discord.sendMessage\"}");
    succeeded(&lines.read());
    let mut websocket = Socket::connect(daemon);
    succeeded(&websocket.ask(&call(LAST_OF_WEBSOCKET, channel).to_string()));
    let mut http = Client::plain(daemon.tcp);
    let json = [("content-type", "application/json")];
    let body = call(LAST_OF_HTTP, channel).to_string();
    succeeded(&http.send("POST", "/", &json, body.as_bytes()).json());
    let open = daemon.http().figures()["process_open_fds"];
    let last = fail(sandbox, daemon, calls);
    settle(daemon, |now| {
        now["process_open_fds"] <= open && now["discordd_calls_in_flight"] == 0.0
    });

    let folder = Folder::new();
    let found = Found::in_file(&dump(daemon.pid(), &folder));
    let mut stdout = std::io::stdout();
    writeln!(
        stdout,
        "{last} tokens and texts in a dump of {} MiB: {} tokens, {} texts, {} fragments of tokens",
        found.bytes >> 20,
        found.tokens.len(),
        found.texts.len(),
        found.fragments,
    )
    .unwrap();
    let control = |found: &BTreeSet<u64>| found.contains(&CONTROL);
    assert!(
        control(&found.tokens) && control(&found.texts),
        "the control was not found: this proves nothing"
    );
    // hyper keeps what it read last of a connection that is still open.
    let mut left: Vec<_> = found.tokens.union(&found.texts).collect();
    left.retain(|number| ![CONTROL, LAST_OF_HTTP].contains(number));
    assert!(left.is_empty(), "{left:?}");
    // The connections were open all the while. (Messages may be kept back by the last fault.)
    let health = json!({"jsonrpc": "2.0", "id": 1, "method": "health"});
    let healthy = |answer: &Value| assert_eq!(answer["result"]["status"], "healthy", "{answer}");
    healthy(&lines.ask(&health));
    healthy(&websocket.ask(&health.to_string()));
    let health = health.to_string();
    healthy(&http.send("POST", "/", &json, health.as_bytes()).json());
}

/// A process that ends when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that runs as an ordinary user, if need be another one than this process's.
fn as_ordinary_user(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("DISCORD_TOKEN", token(CONTROL));
    command.stdin(Stdio::null());
    if getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Whether another process of the same user reads the token from a process's environment.
fn is_read_by_others(child: &Child) -> bool {
    let mut cat = as_ordinary_user("/bin/cat");
    let output = cat.arg(format!("/proc/{}/environ", child.id())).output();
    let read = String::from_utf8(output.unwrap().stdout).unwrap();
    read.contains(&token(CONTROL))
}

#[test]
fn the_same_user_does_not_read_the_daemons_environment() {
    let folder = Folder::new();
    let (program, socket) = (folder.join("discordd"), folder.join("own/s.sock"));
    fs::copy(env!("CARGO_BIN_EXE_discordd"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.join("own")).unwrap();
    if getuid().is_root() {
        chown(folder.join("own"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut control = Ended(
        as_ordinary_user("/bin/cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    assert!(is_read_by_others(&control.0), "the control was not read");
    drop(control.0.stdin.take());

    let mut daemon = as_ordinary_user(&program);
    daemon.args(["serve", "--tcp", "127.0.0.1:0", "--unix"]);
    let daemon = daemon.arg(&socket).stderr(Stdio::piped()).spawn();
    let mut daemon = Ended(daemon.unwrap());
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("\"ready\"")));
    assert!(!is_read_by_others(&daemon.0));
    // It still reads what it tells of itself.
    let stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let figures = Client::over(stream).figures();
    for name in ["process_open_fds", "process_resident_memory_bytes"] {
        assert!(figures[name] > 0.0, "{name}");
    }
}

#[test]
fn nothing_is_listened_on_but_the_doors_and_the_exit() {
    let daemon = Daemon::start("http://127.0.0.1:9", &[("RUST_LOG", "debug")]);
    // The exit has a port on each of the daemon's threads: the porch, and one for each core.
    let mut expected = daemon.logged("port");
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(expected.len(), 1 + cores, "{expected:?}");
    expected.push(json!(daemon.tcp.port()));
    let listening = listening_ports(daemon.pid());
    assert_eq!(listening.len(), expected.len(), "{listening:?}");
    assert!(expected.iter().all(|port| listening.contains(port)));
}

/// The TCP ports that a process listens on, all of them on loopback.
fn listening_ports(pid: u32) -> Vec<Value> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let sockets: Vec<PathBuf> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .collect();
    let loopback = format!("{:08X}", u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
    let mut ports = Vec::new();
    for row in table.lines().skip(1) {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let socket = PathBuf::from(format!("socket:[{}]", fields[9]));
        if fields[3] == "0A" && sockets.contains(&socket) {
            let (address, port) = fields[1].split_once(':').unwrap();
            assert_eq!(address, loopback, "only loopback is listened on");
            ports.push(json!(u16::from_str_radix(port, 16).unwrap()));
        }
    }
    ports
}
