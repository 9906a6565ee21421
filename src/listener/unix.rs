//! A Unix socket: made with its mode from the first instant, a stale one replaced, a live one left
//! alone, and removed at the end.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::fs::{Mode, OFlags};

use super::BACKLOG;
use crate::config::{Environment, Listen, socket_candidates};

/// Somebody else serves the socket.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the socket is in use by a live daemon")]
pub struct InUse;

/// A Unix socket that is open; its file is removed when this is dropped.
#[derive(Debug)]
pub struct OpenSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

/// Opens the socket that the settings name, or the first of the usual ones that can be.
pub(super) fn open(listen: &Listen, environment: &Environment) -> anyhow::Result<OpenSocket> {
    let mode = Mode::from_raw_mode(listen.unix_mode.bits());
    if listen.unix != "auto" {
        return open_at(Path::new(&listen.unix), mode);
    }
    let mut tried = Vec::new();
    for path in socket_candidates(environment) {
        let folder = path.parent().unwrap_or(Path::new("/"));
        match fs::create_dir_all(folder).and_then(|()| writable(folder)) {
            Ok(()) => return open_at(&path, mode),
            Err(err) => tried.push(format!("{}: {err}", folder.display())),
        }
    }
    let err = io::Error::new(io::ErrorKind::PermissionDenied, tried.join("; "));
    Err(err).context("no folder for the Unix socket: set listen.unix, or --unix PATH")
}

fn writable(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?)
}

fn open_at(path: &Path, mode: Mode) -> anyhow::Result<OpenSocket> {
    let open = || -> anyhow::Result<OpenSocket> {
        let _lock = lock(path)?;
        remove_if_stale(path)?;
        let listener = bind(path, mode)?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let inode = fs::symlink_metadata(path)?.ino();
        let path = path.to_owned();
        Ok(OpenSocket {
            listener,
            path,
            inode,
        })
    };
    open().with_context(|| format!("listen on unix:{}", path.display()))
}

/// Keeps another daemon from opening the same socket at the same moment.
fn lock(path: &Path) -> anyhow::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    // Nobody else may hold it, and what it is is not followed or cut.
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(&name, flags, Mode::RUSR | Mode::WUSR)?);
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(anyhow::Error::from(InUse).context("another daemon is starting there"))
        }
        Err(fs::TryLockError::Error(err)) => Err(err.into()),
    }
}

fn remove_if_stale(path: &Path) -> anyhow::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(err.into()),
    };
    if !kind.is_socket() {
        let err = io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        );
        return Err(err.into());
    }
    match UnixStream::connect(path) {
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => Ok(fs::remove_file(path)?),
        // A full backlog, or no permission: somebody is there.
        Ok(_) | Err(_) => Err(InUse.into()),
    }
}

/// Binds with the mode in force at once: the umask is the process's, so this must be done before
/// the process has other threads.
fn bind(path: &Path, mode: Mode) -> io::Result<UnixListener> {
    let before = rustix::process::umask(mode.complement() & Mode::from_raw_mode(0o777));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

impl OpenSocket {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener, for a runtime.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for OpenSocket {
    /// Removes the file, unless another daemon has put its own there.
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours && let Err(err) = fs::remove_file(&self.path) {
            tracing::warn!(%err, path = %self.path.display(), "the socket could not be removed");
        }
    }
}
