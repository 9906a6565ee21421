//! Sockets that are passed to a daemon, as systemd passes its own.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::daemon::Folder;

/// Sockets that outlive the daemons they are passed to.
pub(crate) struct Sockets {
    pub(crate) folder: Folder,
    pub(crate) unix: UnixListener,
    pub(crate) tcp: TcpListener,
}

impl Sockets {
    pub(crate) fn open() -> Self {
        let folder = Folder::new();
        Self {
            unix: UnixListener::bind(folder.join("passed.sock")).unwrap(),
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            folder,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("passed.sock")
    }

    /// The command of a daemon with these arguments that is passed both: the Unix socket is
    /// descriptor 3 and the port 4, under these names.
    pub(crate) fn pass(&self, names: &str, args: &[&str]) -> Command {
        let unix = OwnedFd::from(self.unix.try_clone().unwrap());
        let tcp = OwnedFd::from(self.tcp.try_clone().unwrap());
        pass(unix, tcp, names, args)
    }
}

/// The command of a daemon that is passed two descriptors: the shell puts them where systemd would.
pub(crate) fn pass(third: OwnedFd, fourth: OwnedFd, names: &str, args: &[&str]) -> Command {
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
    let mut command = Command::new("/bin/sh");
    command
        .env_clear()
        .args(["-c", script, env!("CARGO_BIN_EXE_discordd")])
        .args(args)
        .envs([("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", names)])
        .env("DISCORDD_DISCORD__BASE_URL", "http://127.0.0.1:9")
        .stdin(third)
        .stdout(fourth)
        .stderr(Stdio::piped());
    command
}
