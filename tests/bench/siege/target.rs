//! The daemon that is besieged, with its default limits, and the stand-in for Discord behind it.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{
    attack::Place,
    support::{
        authority::Authority,
        certificates::Identity,
        daemon::{Daemon, Folder},
        sandbox::SandboxProcess,
    },
    usage::Usage,
};

/// What all daemons are started with.
pub(crate) struct Ground {
    binary: PathBuf,
    folder: Folder,
    certificate: String,
    key: String,
    pub(crate) sandbox: SandboxProcess,
}

/// A daemon under siege: strangers come over TCP, honest callers over a Unix socket.
pub(crate) struct Target {
    pub(crate) daemon: Daemon,
    exit: SocketAddr,
}

impl Ground {
    pub(crate) fn new(binary: Option<PathBuf>) -> Self {
        let folder = Folder::new();
        let identity = Identity::issue(&Authority::new(), "localhost");
        let (certificate, key) = identity.write(&folder);
        Self {
            binary: binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_discordd").into()),
            folder,
            certificate,
            key,
            sandbox: SandboxProcess::start(&["--any-token"]),
        }
    }

    /// Starts a daemon.
    pub(crate) fn start(&self) -> Target {
        let socket = self.folder.join("s.sock");
        let base_url = format!("http://{}", self.sandbox.line.http);
        // A line for each call would be written and read on the cores that are measured.
        let filter = "info,discordd::call=warn,discordd::discord::exit=debug";
        let mut command = Command::new(&self.binary);
        command
            .args(["serve", "--tcp", "127.0.0.1:0", "--unix"])
            .arg(&socket)
            .env_clear()
            .env("DISCORDD_DISCORD__BASE_URL", base_url)
            .env("DISCORDD_LISTEN__TLS", "optional")
            .env("DISCORDD_LOG__FILTER", filter)
            .env("DISCORDD_TLS__CERTIFICATE", &self.certificate)
            .env("DISCORDD_TLS__KEY", &self.key)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut daemon = Daemon::of(&mut command);
        daemon.socket = socket;
        let port = daemon.logged("port")[0].as_u64().unwrap();
        let exit = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        Target { daemon, exit }
    }
}

impl Target {
    /// Where an attack goes.
    pub(crate) fn address(&self, place: Place) -> SocketAddr {
        match place {
            Place::Door => self.daemon.tcp,
            Place::Exit => self.exit,
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.daemon.pid()).unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.daemon.pid());
        fs::read_dir(folder).unwrap().count()
    }

    /// Bounds how many descriptors it may have.
    pub(crate) fn limit_descriptors(&self, count: usize) {
        self.limit(Some(u64::try_from(count).unwrap()));
    }

    /// Gives it back as many as it was started with.
    pub(crate) fn restore_descriptors(&self) {
        self.limit(rustix::process::getrlimit(Resource::Nofile).maximum);
    }

    fn limit(&self, current: Option<u64>) {
        let pid = Pid::from_raw(i32::try_from(self.daemon.pid()).unwrap());
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
}
