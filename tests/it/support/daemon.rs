//! A daemon in a process of its own, with a socket and a port of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{
    http::{Answer, Client},
    lines::Lines,
};

/// A folder of its own, removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("discordd-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a file in it, as a text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file in it, and gives its path. What was there is replaced whole.
    pub(crate) fn put(&self, name: &str, text: &str) -> String {
        let (path, beside) = (self.path(name), self.join("new"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A daemon that said it is ready; it is killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: SocketAddr,
    /// Removed with the daemon, if it was made for it.
    folder: Option<Folder>,
}

/// The program with an environment of its own and these arguments.
pub(crate) fn discordd(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_discordd"));
    command.env_clear().args(args).stdin(Stdio::null());
    command.envs(variables.iter().copied());
    command
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str], variables: &[(&str, &str)]) -> Output {
    discordd(args, variables).output().unwrap()
}

impl Daemon {
    /// Starts one that takes `base_url` for Discord.
    pub(crate) fn start(base_url: &str, variables: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let mut daemon = Self::at(&folder.join("s.sock"), base_url, variables);
        daemon.folder = Some(folder);
        daemon
    }

    /// Starts one with its Unix socket at `socket`.
    pub(crate) fn at(socket: &Path, base_url: &str, variables: &[(&str, &str)]) -> Self {
        let unix = socket.to_str().unwrap();
        let args = ["serve", "--unix", unix, "--tcp", "127.0.0.1:0"];
        let mut daemon = Self::with(&args, base_url, variables);
        socket.clone_into(&mut daemon.socket);
        daemon
    }

    /// Starts one with these settings in a file in `folder`, where its Unix socket is too unless they
    /// name another.
    pub(crate) fn configured(folder: &Folder, settings: &str, base_url: &str) -> Self {
        let file = folder.join("config.toml");
        fs::write(&file, settings).unwrap();
        let socket = folder.join("s.sock");
        let variables = [("DISCORDD_LISTEN__UNIX", socket.to_str().unwrap())];
        let args = ["serve", "--config", file.to_str().unwrap()];
        let mut daemon = Self::with(&args, base_url, &variables);
        daemon.socket = socket;
        daemon
    }

    /// Starts one with these arguments; which socket is its own is for the test to know.
    pub(crate) fn with(args: &[&str], base_url: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = discordd(args, variables);
        command.env("DISCORDD_DISCORD__BASE_URL", base_url);
        command.stdout(Stdio::null());
        Self::of(&mut command)
    }

    /// Waits until what this command starts is ready.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .env("DISCORDD_LOG__FORMAT", "json")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = String::new();
        let mut tcp = None;
        loop {
            let from = log.len();
            let read = stderr.read_line(&mut log).unwrap();
            assert!(read > 0, "the daemon ended before it was ready: {log}");
            let line: Value = serde_json::from_str(&log[from..]).unwrap();
            if let Some(address) = line["address"]
                .as_str()
                .and_then(|it| it.strip_prefix("tcp:"))
            {
                tcp = Some(address.parse().unwrap());
            }
            if line["message"] == "ready" {
                break;
            }
        }
        let log = Arc::new(Mutex::new(log));
        let reader = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in stderr.lines() {
                    let mut log = log.lock().unwrap();
                    log.push_str(&line.unwrap());
                    log.push('\n');
                }
            }
        });
        Self {
            child,
            log,
            reader: Some(reader),
            socket: PathBuf::new(),
            // A daemon without a port is not asked there.
            tcp: tcp.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0))),
            folder: None,
        }
    }

    /// What its log has told so far under this name.
    pub(crate) fn logged(&self, name: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let lines = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter_map(|line| line.get(name).cloned()).collect()
    }

    /// The port of the door with this name.
    pub(crate) fn port_of(&self, door: &str) -> SocketAddr {
        let log = self.log.lock().unwrap();
        let mut lines = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let line = lines.find(|line| line["door"] == door && line["message"] == "listening");
        let address = line.unwrap()["address"].as_str().unwrap().to_owned();
        address.strip_prefix("tcp:").unwrap().parse().unwrap()
    }

    /// The addresses that it said it listens on, of those that begin like this.
    pub(crate) fn addresses(&self, start: &str) -> Vec<String> {
        let listening = self.logged("address").into_iter();
        let wanted = listening.filter_map(|it| Some(it.as_str()?.strip_prefix(start)?.to_owned()));
        wanted.collect()
    }

    /// Opens a raw connection to its Unix socket.
    pub(crate) fn lines(&self) -> Lines {
        Lines::unix(&self.socket)
    }

    /// Opens an HTTP connection to its Unix socket.
    pub(crate) fn http(&self) -> Client {
        Client::over(UnixStream::connect(&self.socket).unwrap())
    }

    /// Calls a method on a connection of its own.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.lines().ask(&call)
    }

    /// Posts a body to `/` on an HTTP connection of its own.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.http()
            .send("POST", "/", &all, body.to_string().as_bytes())
    }

    /// How many were turned away for this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        self.count(&format!("discordd_refusals_total{{reason=\"{reason}\"}}"))
    }

    /// A figure that counts.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let text = self.http().send("GET", "/metrics", &[], b"").body;
        let text = String::from_utf8(text).unwrap();
        let mut counts = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        counts.next().unwrap().parse().unwrap()
    }

    /// Memory that is resident, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let count = line.unwrap().split_whitespace().next().unwrap();
        count.parse().unwrap()
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until its log holds `text`.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.wait_for_logs(text, 1);
    }

    /// Waits until its log holds `text` so many times.
    pub(crate) fn wait_for_logs(&self, text: &str, times: usize) {
        while self.log.lock().unwrap().matches(text).count() < times {
            std::thread::yield_now();
        }
    }

    /// Waits for its end; gives its whole log with it.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (status, log)
    }

    /// Ends it with SIGTERM; gives its whole log.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, log) = self.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.folder.take());
    }
}
