//! A daemon that is stopped and started again under calls: none is lost, none is posted twice.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Folder},
    passed::Sockets,
    sandbox::SandboxProcess,
};

const CALLS: u32 = 300;
const RESTARTS: u32 = 8;
const CALLERS: u32 = 6;

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It was answered: its message is posted.
    Posted,
    /// It was refused in words, or the connection was before anything was answered.
    Refused,
}

/// Makes one call on a connection of its own, raw or over HTTP.
fn call(socket: &Path, body: &Value, http: bool) -> std::io::Result<Outcome> {
    let mut stream = UnixStream::connect(socket)?;
    let body = body.to_string();
    let text = if http {
        format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    } else {
        body
    };
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut last = String::new();
    for line in BufReader::new(stream).lines() {
        last = line?;
    }
    if last.is_empty() {
        return Ok(Outcome::Refused);
    }
    let answer: Value = serde_json::from_str(&last).unwrap_or_else(|err| panic!("{err}: {last}"));
    if answer["result"]["success"] == true {
        return Ok(Outcome::Posted);
    }
    assert_eq!(answer["error"]["code"], 503, "{answer}");
    assert_eq!(answer["error"]["data"]["delivered"], "no", "{answer}");
    Ok(Outcome::Refused)
}

/// Makes all the calls, whatever becomes of the daemon meanwhile, which `restart` ends and starts
/// again. Gives how often a call was refused and made again.
fn call_through_restarts(
    sandbox: &SandboxProcess,
    socket: &Path,
    mut restart: impl FnMut(),
) -> u32 {
    let (next, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for lane in 0..CALLERS {
            let (next, refused) = (&next, &refused);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= CALLS {
                        return;
                    }
                    let body = json!({"jsonrpc": "2.0", "id": number,
                        "method": "discord.sendMessage", "params": [sandbox.token(0),
                            sandbox.channel("general"), number.to_string()]});
                    // A call without a nonce of its own: whoever repeats it after it was carried
                    // out posts it twice. No connection, or one that ends before a byte of an
                    // answer, is a refusal.
                    while call(socket, &body, lane % 2 == 1).unwrap_or(Outcome::Refused)
                        == Outcome::Refused
                    {
                        refused.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                    }
                }
            });
        }
        for count in 1..=RESTARTS {
            while next.load(Ordering::SeqCst) < CALLS * count / (RESTARTS + 1) {
                thread::yield_now();
            }
            restart();
        }
    });
    let texts = sandbox.texts("general");
    let found: BTreeSet<u32> = texts
        .iter()
        .map(|text| text.as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(texts.len(), found.len(), "a message was posted twice");
    assert!(found.into_iter().eq(0..CALLS), "a message was lost");
    refused.into_inner()
}

#[test]
fn no_call_is_lost_or_posted_twice_when_the_daemon_is_started_again_and_again() {
    let sandbox = SandboxProcess::start(&[]);
    let base_url = format!("http://{}", sandbox.line.http);
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    let mut daemon = Daemon::at(&socket, &base_url, &[]);
    let refused = call_through_restarts(&sandbox, &socket, || {
        daemon.signal(Signal::TERM);
        while socket.exists() {
            thread::yield_now();
        }
        let new = Daemon::at(&socket, &base_url, &[]);
        let old = std::mem::replace(&mut daemon, new);
        assert_eq!(old.wait().0.code(), Some(0));
    });
    assert!(refused > 0, "nothing was tried while there was no daemon");
}

#[test]
fn who_calls_at_a_socket_that_outlives_the_daemon_is_not_even_refused() {
    let sandbox = SandboxProcess::start(&[]);
    let sockets = Sockets::open();
    let start = || {
        let mut command = sockets.pass("local:port", &["serve"]);
        let base_url = format!("http://{}", sandbox.line.http);
        Daemon::of(command.env("DISCORDD_DISCORD__BASE_URL", base_url))
    };
    let mut daemon = Some(start());
    let refused = call_through_restarts(&sandbox, &sockets.path(), || {
        if let Some(daemon) = daemon.take() {
            daemon.stop();
        }
        daemon = Some(start());
    });
    // Only a caller whom the machine lets wait between its connection and its call, for longer than
    // the daemon does, may meet one that goes.
    assert!(refused < RESTARTS, "{refused} were refused");
}
