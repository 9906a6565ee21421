//! The processes: the daemon that is measured, and what it is measured with and against.
//!
//! Each has an environment with nothing in it but what is said here, and ports of the kernel's
//! choice. None outlives the benchmark.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{call::Way, contest::Sample, inside::Report, role, role::Role, usage::Usage};

/// How long a process may take until it is ready.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A folder for sockets and certificates; removed when this is dropped.
pub(crate) struct Folder(PathBuf);

/// A process that is killed when this is dropped.
pub(crate) struct Process(pub(crate) Child);

/// Discord's place.
pub(crate) struct Upstream {
    _role: Role,
    plain: SocketAddr,
    tls: SocketAddr,
    /// The authority that its certificate is from.
    pub(crate) ca_file: PathBuf,
}

/// How Discord is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// HTTP.
    Plain,
    /// HTTPS, sessions resumed as by default.
    Tls,
    /// HTTPS, a whole handshake for each call.
    TlsWithoutResumption,
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) socket: PathBuf,
    log: Receiver<Value>,
}

/// A program that makes calls itself, prints a report, and ends.
pub(crate) struct Program {
    pub(crate) file: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
}

impl Folder {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let name = format!("discordd-figures-{}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in a folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Process {
    /// Starts this program as something else than the bench.
    pub(crate) fn role(arguments: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(env::current_exe()?)
            .arg(role::FLAG)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Upstream {
    /// Starts one that answers after `delay`.
    pub(crate) fn start(folder: &Folder, delay: Duration) -> anyhow::Result<Self> {
        let ca_file = folder.file("ca.pem");
        let delay_ms = delay.as_millis().to_string();
        let role = Role::start(&["upstream", &ca_file.to_string_lossy(), &delay_ms])?;
        let [plain, tls] = *role.addresses.as_slice() else {
            anyhow::bail!("the upstream does not say where it is");
        };
        Ok(Self {
            _role: role,
            plain,
            tls,
            ca_file,
        })
    }

    /// Where it is.
    pub(crate) fn base_url(&self, scheme: Scheme) -> String {
        match scheme {
            Scheme::Plain => format!("http://{}", self.plain),
            // The certificate is for a name, as Discord's is.
            Scheme::Tls | Scheme::TlsWithoutResumption => {
                format!("https://localhost:{}", self.tls.port())
            }
        }
    }
}

impl Daemon {
    /// Starts a daemon and waits for nothing.
    pub(crate) fn start(
        binary: &Path,
        socket: PathBuf,
        upstream: &Upstream,
        scheme: Scheme,
        environment: &[(&str, PathBuf)],
    ) -> anyhow::Result<Self> {
        let resumption = scheme != Scheme::TlsWithoutResumption;
        let mut child = Command::new(binary)
            .args(["serve", "--tcp", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .env_clear()
            .env("DISCORDD_LOG__FORMAT", "json")
            // A line for each call would be written and read on the cores that are measured.
            .env("DISCORDD_LOG__FILTER", "info,discordd::call=warn")
            .env("DISCORDD_DISCORD__BASE_URL", upstream.base_url(scheme))
            .env("DISCORDD_DISCORD__CA_FILE", &upstream.ca_file)
            .env("DISCORDD_DISCORD__TLS_RESUMPTION", resumption.to_string())
            // Idle ones are counted at leisure.
            .env("DISCORDD_LIMITS__HEADER_TIMEOUT", "1h")
            .env("DISCORDD_LIMITS__FIRST_BYTE_TIMEOUT", "1h")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {}", binary.display()))?;
        let stderr = child.stderr.take();
        let process = Process(child);
        let stderr = stderr.context("the daemon has no log")?;
        let (sender, log) = mpsc::channel();
        thread::spawn(move || read_log(stderr, &sender));
        Ok(Self {
            process,
            socket,
            log,
        })
    }

    /// Waits until the daemon says that it is ready, and gives the address of its TCP port.
    ///
    /// # Errors
    ///
    /// When it does not say so in time, or warns of something.
    pub(crate) fn wait_until_ready(&mut self) -> anyhow::Result<SocketAddr> {
        let mut tcp = None;
        loop {
            let line = self.log.recv_timeout(READY_TIMEOUT);
            let line = line.context("the daemon does not become ready")?;
            check(&line)?;
            let address = line["address"].as_str().unwrap_or_default();
            if let Some(address) = address.strip_prefix("tcp:") {
                tcp = Some(address.parse()?);
            }
            if line["message"] == "ready" {
                return tcp.context("the daemon is ready without a TCP port");
            }
        }
    }

    /// The way in over its Unix socket.
    pub(crate) fn lines(&self) -> Way {
        Way::Lines(self.socket.clone())
    }

    /// Ends it as a service manager would.
    ///
    /// # Errors
    ///
    /// When it does not end well, or warned of something while it ran.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.process.0), Signal::TERM)?;
        let status = self.process.0.wait()?;
        anyhow::ensure!(status.success(), "the daemon ended with {status}");
        self.log.iter().try_for_each(|line| check(&line))
    }
}

/// Passes on the lines of a log until its process ends.
fn read_log(stderr: ChildStderr, lines: &Sender<Value>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        // A line that is none of the log, such as a panic's, is kept as a text.
        let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
        if lines.send(line).is_err() {
            break;
        }
    }
}

/// Refuses figures of a daemon that is not well.
fn check(line: &Value) -> anyhow::Result<()> {
    anyhow::ensure!(line["level"] == "INFO", "the daemon says: {line}");
    Ok(())
}

impl Program {
    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// When it fails; it has said why.
    pub(crate) fn run(&self) -> anyhow::Result<Sample> {
        let output = Command::new(&self.file)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("run {}", self.file.display()))?;
        anyhow::ensure!(output.status.success(), "{} failed", self.file.display());
        let report: Report = serde_json::from_slice(&output.stdout)?;
        Ok(Sample {
            took: Duration::from_nanos(report.took_ns),
            cpu: Duration::from_nanos(report.cpu_ns),
            waits: report
                .waits_ns
                .into_iter()
                .map(Duration::from_nanos)
                .collect(),
        })
    }
}
