//! What systemd does with a daemon, as far as it can be done without it: sockets that are passed in
//! and outlive the daemon, and what is told where `NOTIFY_SOCKET` says. `tests/systemd/run` does the rest.

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    daemon::{Daemon, Folder, discordd},
    lines::Lines,
    passed::{Sockets, pass},
};

const NOWHERE: &str = "http://127.0.0.1:9";

/// What a daemon that does not start ends with.
fn refusal(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn settings(folder: &Folder, text: &str) -> String {
    let path = folder.join("config.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn health() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "health"})
}

fn assert_healthy(mut lines: Lines) {
    let answer = lines.ask(&health());
    assert_eq!(answer["result"]["status"], "healthy", "{answer}");
}

/// The doors that a daemon said it has, each with its name.
fn doors(daemon: &Daemon) -> Vec<(Value, Value)> {
    let names = daemon.logged("door").into_iter();
    names.zip(daemon.logged("address")).collect()
}

#[test]
fn sockets_that_are_passed_in_are_all_there_is_unless_more_is_asked_for() {
    let sockets = Sockets::open();
    let unix = format!("unix:{}", sockets.path().display());
    let tcp = format!("tcp:{}", sockets.tcp.local_addr().unwrap());
    let daemon = Daemon::of(&mut sockets.pass("local:port", &["serve"]));
    let expected = [(json!("local"), json!(unix)), (json!("port"), json!(tcp))];
    assert_eq!(doors(&daemon), expected);
    assert_healthy(Lines::unix(&sockets.path()));
    assert_healthy(Lines::tcp(daemon.tcp));
    daemon.stop();
    assert!(sockets.path().exists(), "the file is not the daemon's");

    let more = sockets.folder.join("more.sock");
    let path = more.to_str().unwrap();
    let daemon = Daemon::of(&mut sockets.pass("local:port", &["--unix", path]));
    assert_eq!(daemon.addresses("").len(), 3);
    for socket in [&more, &sockets.path()] {
        assert_healthy(Lines::unix(socket));
    }
    daemon.stop();
    assert!(!more.exists() && sockets.path().exists());
}

#[test]
fn a_door_takes_the_socket_of_its_name_whichever_descriptor_that_is() {
    let sockets = Sockets::open();
    let text = "[[door]]\nname = \"agents\"\naddress = \"systemd:local\"\n";
    let config = settings(&sockets.folder, text);
    let (unix, tcp) = (
        OwnedFd::from(sockets.unix.try_clone().unwrap()),
        OwnedFd::from(sockets.tcp.try_clone().unwrap()),
    );
    let args = ["serve", "--config", &config];
    for mut command in [
        sockets.pass("local:port", &args),
        pass(tcp, unix, "port:local", &args),
    ] {
        let daemon = Daemon::of(&mut command);
        let doors = doors(&daemon);
        assert_eq!(doors.len(), 2, "{doors:?}");
        for (name, start) in [("agents", "unix:"), ("port", "tcp:")] {
            let door = doors.iter().find(|(door, _)| door == name).unwrap();
            assert!(door.1.as_str().unwrap().starts_with(start), "{doors:?}");
        }
        daemon.stop();
    }
}

#[test]
fn one_name_may_stand_for_several_sockets() {
    let sockets = Sockets::open();
    let text = "[[door]]\nname = \"all\"\naddress = \"systemd:discordd\"\n";
    let config = settings(&sockets.folder, text);
    let daemon = Daemon::of(&mut sockets.pass("discordd:discordd", &["--config", &config]));
    assert_healthy(Lines::unix(&sockets.path()));
    assert_healthy(Lines::tcp(daemon.tcp));
    assert_eq!(daemon.logged("door"), [json!("all"), json!("all")]);
}

#[test]
fn a_socket_that_the_settings_would_open_is_not_opened_again() {
    let sockets = Sockets::open();
    let path = sockets.path();
    let port = sockets.tcp.local_addr().unwrap();
    let text = format!("[listen]\nunix = {path:?}\ntcp = \"{port}\"\n");
    let config = settings(&sockets.folder, &text);
    let daemon = Daemon::of(&mut sockets.pass("local:port", &["--config", &config]));
    assert_eq!(daemon.addresses("").len(), 2);
    assert_eq!(daemon.logged("inherited"), [json!(true), json!(true)]);
    assert_healthy(Lines::unix(&path));
    daemon.stop();
    assert!(path.exists());
}

#[test]
fn a_socket_that_is_missing_or_not_safe_is_an_error_that_names_it() {
    let sockets = Sockets::open();
    let text = "[[door]]\naddress = \"systemd:agents\"\n";
    let config = settings(&sockets.folder, text);
    let args = ["serve", "--config", &config];
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let everywhere = open.local_addr().unwrap().to_string();
    let unix = || OwnedFd::from(sockets.unix.try_clone().unwrap());
    let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    for (command, reason) in [
        (sockets.pass("local:port", &args), "systemd:agents"),
        (discordd(&args, &[]), "systemd:agents"),
        (
            pass(unix(), open.into(), "a:b", &["serve"]),
            &everywhere[..],
        ),
        (pass(unix(), file, "a:b", &["serve"]), "\"b\""),
        (pass(unix(), datagrams.into(), "a:b", &["serve"]), "\"b\""),
    ] {
        let (code, complaint) = refusal(command);
        assert_eq!(code, Some(78), "{complaint}");
        assert!(complaint.contains(reason), "{complaint}");
    }
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let mut command = pass(unix(), open.into(), "a:b", &["serve"]);
    command.env("DISCORDD_LISTEN__ALLOW_INSECURE_TCP", "true");
    assert_eq!(Daemon::of(&mut command).addresses("tcp:").len(), 1);
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let folder = Folder::new();
    let socket = folder.join("s.sock");
    let variables = [
        ("LISTEN_PID", "1"),
        ("LISTEN_FDS", "2"),
        ("LISTEN_FDNAMES", "a:b"),
    ];
    let daemon = Daemon::at(&socket, NOWHERE, &variables);
    assert_eq!(daemon.addresses("").len(), 2);
    assert_healthy(daemon.lines());
}

#[test]
fn who_waits_while_there_is_no_daemon_is_answered_by_the_next() {
    let sockets = Sockets::open();
    let first = Daemon::of(&mut sockets.pass("local:port", &["serve"]));
    assert_healthy(Lines::unix(&sockets.path()));
    first.stop();
    let call = format!("{}\n", health());
    let mut waiting: Vec<Lines> = (0..20)
        .map(|number| {
            let mut lines = if number % 2 == 0 {
                Lines::unix(&sockets.path())
            } else {
                Lines::tcp(sockets.tcp.local_addr().unwrap())
            };
            lines.send(call.as_bytes());
            lines
        })
        .collect();
    let _second = Daemon::of(&mut sockets.pass("local:port", &["serve"]));
    for lines in &mut waiting {
        assert_eq!(lines.read()["result"]["status"], "healthy");
    }
}

/// Where a daemon tells how it is.
struct Told(UnixDatagram);

impl Told {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self(socket)
    }

    /// What is told next.
    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        let text = str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Skips what is told until it begins with this, and gives the rest of it.
    fn wait_for(&self, first: &str) -> Vec<String> {
        loop {
            let told = self.next();
            if told[0] == first {
                return told;
            }
        }
    }

    /// Whether nothing is told for this long.
    fn is_silent(&self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).unwrap();
        let received = self.0.recv(&mut [0; 4096]);
        received.is_err_and(|err| err.kind() == ErrorKind::WouldBlock)
    }
}

#[test]
fn systemd_is_told_when_the_daemon_is_ready_alive_and_stopping() {
    let folder = Folder::new();
    let (notify, socket) = (folder.join("notify"), folder.join("s.sock"));
    let told = Told::listen(&notify);
    let variables = [
        ("NOTIFY_SOCKET", notify.to_str().unwrap()),
        ("WATCHDOG_USEC", "20000"),
    ];
    let args = ["serve", "--unix", socket.to_str().unwrap(), "--tcp", ""];
    let mut child = discordd(&args, &variables)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ready = told.next();
    assert_eq!(ready, ["READY=1", "STATUS=serving, calls under way: 0"]);
    // It is told when it is so, and not before.
    assert_healthy(Lines::unix(&socket));
    for _ in 0..3 {
        let alive = told.next();
        assert_eq!(alive, ["WATCHDOG=1", "STATUS=serving, calls under way: 0"]);
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    told.wait_for("STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_daemon_without_a_watchdog_tells_it_nothing() {
    let folder = Folder::new();
    let (notify, socket) = (folder.join("notify"), folder.join("s.sock"));
    let told = Told::listen(&notify);
    let path = notify.to_str().unwrap();
    for variables in [
        vec![("NOTIFY_SOCKET", path)],
        vec![("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "0")],
        // One of another process.
        vec![
            ("NOTIFY_SOCKET", path),
            ("WATCHDOG_USEC", "2000"),
            ("WATCHDOG_PID", "1"),
        ],
    ] {
        let daemon = Daemon::at(&socket, NOWHERE, &variables);
        assert_eq!(told.next()[0], "READY=1");
        assert!(told.is_silent(Duration::from_millis(50)), "{variables:?}");
        daemon.stop();
        told.wait_for("STOPPING=1");
    }
}
