//! Memory of the daemon per idle connection, at ten thousand connections of each framing.
//! `cargo bench --bench idle`.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "it is made of the tests' parts, and ends where it went wrong"
)]

#[path = "../it/support/mod.rs"]
mod support;

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use support::daemon::Daemon;

/// How many connections.
const CONNECTIONS: usize = 10_000;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"health"}"#;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let get = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let upgrade = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (framing, said, answered) in [
        ("nothing said yet", "", ""),
        ("raw lines", CALL, "}\n"),
        ("HTTP", get, "}"),
        ("WebSocket", upgrade, "\r\n\r\n"),
    ] {
        let bytes = per_connection(said, answered);
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{framing}: {bytes} bytes per idle connection").unwrap();
    }
}

/// Opens the connections, each of which says something and reads the answer to its end.
fn per_connection(said: &str, answered: &str) -> u64 {
    let limits = [
        ("DISCORDD_LIMITS__HEADER_TIMEOUT", "1h"),
        ("DISCORDD_LIMITS__FIRST_BYTE_TIMEOUT", "1h"),
    ];
    let daemon = Daemon::start("http://127.0.0.1:9", &limits);
    let open = || {
        let mut stream = UnixStream::connect(&daemon.socket).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(answered.as_bytes()) {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0, "the daemon closed the connection");
            answer.extend_from_slice(&bytes[..read]);
        }
        stream
    };
    let mut connections = vec![open()];
    let before = daemon.resident_kib();
    connections.extend((0..CONNECTIONS).map(|_| open()));
    // Those behind are accepted once the last one is answered, or counted among the descriptors.
    let mut http = daemon.http();
    let all = f64::from(u32::try_from(CONNECTIONS).unwrap());
    while http.figures()["process_open_fds"] <= all {
        std::thread::yield_now();
    }
    let after = daemon.resident_kib();
    (after - before) * 1024 / CONNECTIONS as u64
}
