//! The processes: a sandbox in Discord's place, and the daemon that is measured.
//!
//! Each has an environment with nothing in it but what is said here, and ports of the kernel's
//! choice. None outlives the benchmark.

use std::{
    env, fmt, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;

use super::{call::Way, usage::Usage};

/// How long a process may take until it is ready.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The program under measurement.
const BINARY: &str = env!("CARGO_BIN_EXE_discordd");
/// The channel that is posted in.
const CHANNEL: &str = "general";

/// A folder for sockets and certificates; removed when this is dropped.
pub(crate) struct Folder(PathBuf);

/// A running sandbox.
pub(crate) struct Sandbox {
    _process: Process,
    /// Kept open, so that what it prints never fails.
    _stdout: BufReader<ChildStdout>,
    http: SocketAddr,
    tls: SocketAddr,
    ca_file: PathBuf,
    /// The channel that is posted in.
    pub(crate) channel_id: String,
}

/// A running daemon.
pub(crate) struct Daemon {
    process: Process,
    socket: PathBuf,
    log: Receiver<Value>,
}

/// How the daemon speaks with the sandbox.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upstream {
    /// HTTP.
    Plain,
    /// HTTPS, sessions resumed as by default.
    Tls,
    /// HTTPS, a whole handshake for each call.
    TlsWithoutResumption,
}

/// The file that is the program.
pub(crate) struct Binary {
    /// Its size.
    pub(crate) bytes: u64,
    /// Whether it has no table of symbols.
    pub(crate) is_stripped: bool,
}

/// A process that is killed when this is dropped.
struct Process(Child);

/// The line that the sandbox prints.
#[derive(Deserialize)]
struct Line {
    http: SocketAddr,
    tls: SocketAddr,
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    id: String,
    name: String,
}

impl Folder {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let name = format!("discordd-figures-{}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in a folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Sandbox {
    pub(crate) fn start(folder: &Folder) -> anyhow::Result<Self> {
        let ca_file = folder.file("ca.pem");
        let mut child = Command::new(BINARY)
            .args(["sandbox", "--json", "--any-token"])
            .args(["--http", "127.0.0.1:0", "--tls", "127.0.0.1:0", "--ca-file"])
            .arg(&ca_file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let process = Process(child);
        let mut stdout = BufReader::new(stdout.context("the sandbox has no output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let line: Line = serde_json::from_str(&line).context("read the sandbox's line")?;
        let mut channels = line.channels.into_iter();
        let channel = channels.find(|channel| channel.name == CHANNEL);
        Ok(Self {
            _process: process,
            _stdout: stdout,
            http: line.http,
            tls: line.tls,
            ca_file,
            channel_id: channel.context("the sandbox lacks the channel")?.id,
        })
    }
}

impl Daemon {
    /// Starts a daemon and waits for nothing.
    pub(crate) fn start(
        folder: &Folder,
        sandbox: &Sandbox,
        upstream: Upstream,
    ) -> anyhow::Result<Self> {
        let socket = folder.file("discordd.sock");
        let mut command = Command::new(BINARY);
        command
            .args(["serve", "--tcp", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .env_clear()
            .env("DISCORDD_LOG__FORMAT", "json")
            .env("DISCORDD_DISCORD__BASE_URL", upstream.base_url(sandbox))
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if let Upstream::Tls | Upstream::TlsWithoutResumption = upstream {
            command.env("DISCORDD_DISCORD__CA_FILE", &sandbox.ca_file);
        }
        if let Upstream::TlsWithoutResumption = upstream {
            command.env("DISCORDD_DISCORD__TLS_RESUMPTION", "false");
        }
        let mut child = command.spawn()?;
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

    /// What it has used so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::of(self.process.0.id(), &self.socket)
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

impl Upstream {
    fn base_url(self, sandbox: &Sandbox) -> String {
        match self {
            Self::Plain => format!("http://{}", sandbox.http),
            // The certificate is for a name, as Discord's is.
            Self::Tls | Self::TlsWithoutResumption => {
                format!("https://localhost:{}", sandbox.tls.port())
            }
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "HTTP",
            Self::Tls => "TLS",
            Self::TlsWithoutResumption => "TLS without resumption",
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks at the program's file.
pub(crate) fn binary() -> anyhow::Result<Binary> {
    let file = fs::read(Path::new(BINARY)).with_context(|| format!("read {BINARY}"))?;
    Ok(Binary {
        bytes: u64::try_from(file.len())?,
        is_stripped: !has_symbols(&file).context("the program is no ELF file of 64 bits")?,
    })
}

/// Whether an ELF file of 64 bits, little-endian, has a section of the type `SHT_SYMTAB`.
/// See <https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.sheader.html>.
fn has_symbols(file: &[u8]) -> Option<bool> {
    const SYMBOLS: u32 = 2;
    let half = |at: usize| Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
    let offset = u64::from_le_bytes(*file.get(0x28..)?.first_chunk()?);
    let offset = usize::try_from(offset).ok()?;
    let (size, count) = (usize::from(half(0x3a)?), usize::from(half(0x3c)?));
    let kinds = (0..count).map(|number| word(offset + number * size + 4));
    let kinds: Vec<u32> = kinds.collect::<Option<_>>()?;
    Some(kinds.contains(&SYMBOLS))
}
