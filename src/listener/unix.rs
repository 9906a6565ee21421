//! A Unix socket: made with its mode from the first instant, a stale one replaced, a live one left
//! alone, and removed at the end.

use std::{
    fs::{self, File},
    io,
    os::linux::net::SocketAddrExt as _,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::fs::{Gid, Mode, OFlags};

use super::BACKLOG;
use crate::config::{AUTO, DoorSettings, Environment, Place, socket_candidates};

/// Somebody else serves the socket.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the socket is in use by a live daemon")]
pub struct InUse;

/// A Unix socket that is open; when this is dropped, the file that was made for it is removed.
#[derive(Debug)]
pub struct OpenSocket {
    listener: UnixListener,
    path: PathBuf,
    /// What tells the file apart from one that somebody else put there since, if it is ours at all.
    inode: Option<u64>,
}

/// Opens the socket of a door, or the first of the usual ones that can be.
pub(super) fn open(door: &DoorSettings, environment: &Environment) -> anyhow::Result<OpenSocket> {
    let access = Access {
        mode: Mode::from_raw_mode(door.mode.bits()),
        group: door.gid()?.map(Gid::from_raw),
    };
    match &door.address {
        Place::Unix(path) if path != AUTO => return open_at(Path::new(path), access),
        Place::Systemd(_) | Place::Tcp(_) | Place::Unix(_) => {}
    }
    let mut tried = Vec::new();
    for path in socket_candidates(environment) {
        let folder = path.parent().unwrap_or(Path::new("/"));
        match fs::create_dir_all(folder).and_then(|()| writable(folder)) {
            Ok(()) => return open_at(&path, access),
            Err(err) => tried.push(format!("{}: {err}", folder.display())),
        }
    }
    let err = io::Error::new(io::ErrorKind::PermissionDenied, tried.join("; "));
    Err(err).context("no folder for the Unix socket: set listen.unix, or --unix PATH")
}

/// Who may connect to a socket.
#[derive(Clone, Copy)]
struct Access {
    mode: Mode,
    group: Option<Gid>,
}

fn writable(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)?)
}

fn open_at(path: &Path, access: Access) -> anyhow::Result<OpenSocket> {
    let open = || -> anyhow::Result<OpenSocket> {
        let _lock = lock(path)?;
        remove_if_stale(path)?;
        let listener = match access.group {
            None => bind(path, access.mode)?,
            Some(group) => bind_for_group(path, access.mode, group)?,
        };
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let inode = Some(fs::symlink_metadata(path)?.ino());
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

/// Binds where nobody else can reach it, gives it its group, and puts it in its place: at no moment
/// can it be reached by others than it is for.
fn bind_for_group(path: &Path, mode: Mode, group: Gid) -> anyhow::Result<UnixListener> {
    let mut folder = path.as_os_str().to_owned();
    folder.push(".new");
    let folder = PathBuf::from(folder);
    // What an earlier start left that was killed in between.
    let _ = fs::remove_dir_all(&folder);
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let inside = folder.join("s");
    let bound = || -> io::Result<UnixListener> {
        let listener = bind(&inside, mode)?;
        rustix::fs::chown(&inside, None, Some(group))?;
        fs::rename(&inside, path)?;
        Ok(listener)
    };
    let bound = bound();
    fs::remove_dir_all(&folder)?;
    Ok(bound?)
}

impl OpenSocket {
    /// A socket that somebody else opened; its file is left alone.
    pub(super) fn inherited(listener: UnixListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let path = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => path.to_owned(),
            // As systemd writes it.
            (None, Some(name)) => format!("@{}", name.escape_ascii()).into(),
            (None, None) => PathBuf::new(),
        };
        Ok(Self {
            listener,
            path,
            inode: None,
        })
    }

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
        let found = fs::symlink_metadata(&self.path).map(|found| found.ino());
        let ours = self.inode.is_some() && found.ok() == self.inode;
        if ours && let Err(err) = fs::remove_file(&self.path) {
            tracing::warn!(%err, path = %self.path.display(), "the socket could not be removed");
        }
    }
}
