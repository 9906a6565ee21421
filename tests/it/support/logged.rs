//! A daemon whose log is kept as it was written, in each of its formats.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::{fs::MetadataExt as _, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Stdio},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    daemon::{Folder, discordd},
    http::Client,
    lines::Lines,
};

/// What ends the collecting of datagrams.
const END: &[u8] = b"END";

/// A daemon that is ready; it is killed when this is dropped.
pub(crate) struct Logged {
    child: Child,
    pub(crate) socket: PathBuf,
    stderr: PathBuf,
    journal: Option<Journal>,
    _folder: Folder,
}

/// Where systemd's journal would take entries.
struct Journal {
    path: PathBuf,
    entries: JoinHandle<Vec<Vec<u8>>>,
}

impl Journal {
    /// Takes entries; says through `ready` when the daemon is.
    fn open(path: PathBuf, ready: std::sync::mpsc::Sender<()>) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap();
        let entries = thread::spawn(move || {
            let (mut entries, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
            loop {
                let length = socket.recv(&mut buffer).unwrap();
                let entry = &buffer[..length];
                if entry == END {
                    return entries;
                }
                if String::from_utf8_lossy(entry).contains("MESSAGE=ready") {
                    // The test may have seen enough.
                    let _ = ready.send(());
                }
                entries.push(entry.to_vec());
            }
        });
        Self { path, entries }
    }
}

impl Logged {
    /// Starts one that logs in this format, and takes `base_url` for Discord. The journal is there if
    /// the format may be its own.
    pub(crate) fn start(format: &str, base_url: &str, variables: &[(&str, &str)]) -> Self {
        Self::with_journal(format, base_url, variables, format == "journald")
    }

    /// Starts one whose standard error is the journal's, as the environment says.
    pub(crate) fn in_journal(base_url: &str, is_there: bool, stream: Option<&str>) -> Self {
        let variables = stream.map(|stream| ("JOURNAL_STREAM", stream));
        Self::with_journal("auto", base_url, variables.as_slice(), is_there)
    }

    fn with_journal(
        format: &str,
        base_url: &str,
        variables: &[(&str, &str)],
        journal: bool,
    ) -> Self {
        let folder = Folder::new();
        let (socket, stderr) = (folder.join("s.sock"), folder.join("stderr"));
        let path = folder.join("journal.sock");
        let (ready, is_ready) = std::sync::mpsc::channel();
        let file = File::create(&stderr).unwrap();
        let stream = file.metadata().unwrap();
        let stream = format!("{}:{}", stream.dev(), stream.ino());
        let journal = journal.then(|| Journal::open(path.clone(), ready));
        let mut command = discordd(&["serve", "--tcp", "", "--unix"], &[]);
        let child = command
            .arg(&socket)
            .env("JOURNAL_STREAM", stream)
            .env("DISCORDD_DISCORD__BASE_URL", base_url)
            .env("DISCORDD_LOG__FORMAT", format)
            .env("DISCORDD_LOG__JOURNALD_SOCKET", path)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::from(file))
            .spawn()
            .unwrap();
        let mut daemon = Self {
            child,
            socket,
            stderr,
            journal,
            _folder: folder,
        };
        while is_ready.try_recv().is_err() && !daemon.stderr().contains("ready") {
            assert!(
                daemon.child.try_wait().unwrap().is_none(),
                "{}",
                daemon.stderr()
            );
            thread::yield_now();
        }
        daemon
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        let mut text = String::new();
        File::open(&self.stderr)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    pub(crate) fn lines(&self) -> Lines {
        Lines::unix(&self.socket)
    }

    pub(crate) fn http(&self) -> Client {
        let stream = std::os::unix::net::UnixStream::connect(&self.socket).unwrap();
        Client::over(stream)
    }

    /// Ends it with SIGTERM; gives its whole log, or every datagram of it, and what stands on standard
    /// error beside them.
    pub(crate) fn stop(mut self) -> (Vec<Vec<u8>>, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(
            self.child.wait().unwrap().code(),
            Some(0),
            "{}",
            self.stderr()
        );
        let entries = self.journal.take().map(|journal| {
            let end = UnixDatagram::unbound().unwrap();
            end.send_to(END, &journal.path).unwrap();
            journal.entries.join().unwrap()
        });
        (entries.unwrap_or_default(), self.stderr())
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.stderr);
    }
}

/// The fields of an entry of the journal.
pub(crate) fn fields(entry: &[u8]) -> Value {
    let mut fields = serde_json::Map::new();
    let mut rest = entry;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| b"=\n".contains(byte)).unwrap();
        let (name, separator) = (&rest[..end], rest[end]);
        rest = &rest[end + 1..];
        let length = if separator == b'=' {
            rest.iter().position(|byte| *byte == b'\n').unwrap()
        } else {
            let (length, behind) = rest.split_first_chunk().unwrap();
            rest = behind;
            usize::try_from(u64::from_le_bytes(*length)).unwrap()
        };
        let value = String::from_utf8(rest[..length].to_vec()).unwrap();
        assert_eq!(rest[length], b'\n');
        rest = &rest[length + 1..];
        let name = String::from_utf8(name.to_vec()).unwrap();
        assert!(fields.insert(name, value.into()).is_none());
    }
    Value::Object(fields)
}
