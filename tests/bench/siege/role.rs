//! Processes of this program that are not the bench itself: the attacker, the sink, and a crowd.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{self, Child, ChildStdout, Command, ExitCode, Stdio},
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

use super::{
    attack::Attack,
    attacker::{self, MADE, SENT},
    sink,
};

/// The argument that makes a process of this program something else than the bench.
pub(crate) const FLAG: &str = "--role";

/// What each of a crowd says now and then.
const CALL: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health\"}\n";
/// How long it is silent in between: less than the daemon's `limits.idle_timeout`.
const SILENCE: Duration = Duration::from_secs(300);

/// A process that ends with the bench, or when this is dropped.
pub(crate) struct Role {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

/// What an attacker did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Connections that it made.
    pub(crate) made: u64,
    /// Bytes that it sent.
    pub(crate) sent: u64,
}

/// Runs the role that the arguments behind [`FLAG`] name.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    super::raise_descriptor_limit();
    thread::spawn(end_with_the_bench);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["attack", name, target] => attacker::run(Attack::named(name), target.parse().unwrap()),
        ["crowd", count, target] => crowd(count.parse().unwrap(), target.parse().unwrap()),
        ["sink"] => sink::run(),
        _ => panic!("there is no such role: {arguments:?}"),
    }
    ExitCode::SUCCESS
}

/// The bench never writes; it closes this when it has seen enough, or ends however it ends.
fn end_with_the_bench() {
    let _ = io::stdin().read(&mut [0]);
    let (made, sent) = (MADE.load(Ordering::Relaxed), SENT.load(Ordering::Relaxed));
    // Nobody reads it where the bench is gone.
    let _ = writeln!(io::stdout(), "{made} {sent}");
    process::exit(0);
}

/// Holds connections that make a call now and then, so that none is closed for its silence.
fn crowd(count: usize, target: SocketAddr) {
    let connect = || TcpStream::connect(target).unwrap();
    let mut open: Vec<TcpStream> = (0..count).map(|_| connect()).collect();
    println(&open.len().to_string());
    loop {
        for stream in &mut open {
            if stream.write_all(CALL).is_err() {
                *stream = connect();
            }
        }
        thread::sleep(SILENCE);
    }
}

fn println(line: &str) {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").unwrap();
    stdout.flush().unwrap();
}

impl Role {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .arg(FLAG)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Begins an attack.
    pub(crate) fn attack(attack: &Attack, target: SocketAddr) -> Self {
        Self::start(&["attack", attack.name, &target.to_string()])
    }

    /// Opens so many connections that are idle.
    pub(crate) fn crowd(count: usize, target: SocketAddr) -> Self {
        let mut crowd = Self::start(&["crowd", &count.to_string(), &target.to_string()]);
        crowd.line();
        crowd
    }

    /// Starts a sink, and gives where it listens.
    pub(crate) fn sink() -> (Self, SocketAddr) {
        let mut sink = Self::start(&["sink"]);
        let address = sink.line().trim_end().parse().unwrap();
        (sink, address)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Ends it, and gives what it did.
    pub(crate) fn end(mut self) -> Done {
        drop(self.child.stdin.take());
        let line = self.line();
        let (made, sent) = line
            .trim_end()
            .split_once(' ')
            .expect("an attacker ended before");
        Done {
            made: made.parse().unwrap(),
            sent: sent.parse().unwrap(),
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
