//! Sockets that systemd opened and passed in, told apart by their names and never by their order.
//!
//! They stay systemd's: their files are not removed, and who waits at them when the daemon stops
//! waits for the next process.

use std::net::SocketAddr;

use anyhow::Context as _;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use super::{OpenSocket, Socket};
use crate::config::Place;

/// The sockets that no door has yet, each with its name.
pub(super) struct Passed(Vec<(String, Socket)>);

impl Passed {
    /// Takes over what was passed in under these names, in the order of the descriptors.
    ///
    /// This must be done once, and before the process has other threads: it changes the environment.
    pub(super) fn take(names: &[String]) -> anyhow::Result<Self> {
        if names.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let mut descriptors = ListenFd::from_env();
        let sockets = names.iter().enumerate().map(|(index, name)| {
            let socket = take(&mut descriptors, index);
            let socket = socket.with_context(|| format!("the passed socket {name:?}"))?;
            Ok((name.clone(), socket))
        });
        Ok(Self(sockets.collect::<anyhow::Result<_>>()?))
    }

    /// Gives every socket of this name: a unit that listens at several places has one name for all.
    pub(super) fn named(&mut self, name: &str) -> anyhow::Result<Vec<Socket>> {
        let known: Vec<_> = self.0.iter().map(|(name, _)| name.clone()).collect();
        let found = self.extract(|of, _| of == name);
        anyhow::ensure!(
            !found.is_empty(),
            "door systemd:{name}: no socket of this name was passed in{}",
            match &known[..] {
                [] => String::new(),
                known => format!(", only {}", known.join(", ")),
            }
        );
        Ok(found)
    }

    /// Gives the socket at a place that would otherwise be opened.
    pub(super) fn at(&mut self, place: &Place) -> Option<Socket> {
        self.extract(|_, socket| socket.is_at(place)).pop()
    }

    /// Gives what no door has.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, Socket)> {
        self.0.into_iter()
    }

    fn extract(&mut self, wanted: impl Fn(&str, &Socket) -> bool) -> Vec<Socket> {
        let all = std::mem::take(&mut self.0).into_iter();
        let (found, rest) = all.partition(|(name, socket)| wanted(name, socket));
        self.0 = rest;
        found.into_iter().map(|(_, socket)| socket).collect()
    }
}

fn take(descriptors: &mut ListenFd, index: usize) -> anyhow::Result<Socket> {
    let (socket, listening) = if let Ok(unix) = descriptors.take_unix_listener(index) {
        let unix = unix.context("it is not there")?;
        unix.set_nonblocking(true)?;
        let listening = socket_acceptconn(&unix)?;
        (Socket::Unix(OpenSocket::inherited(unix)?), listening)
    } else {
        let taken = descriptors.take_tcp_listener(index);
        let tcp = taken.context("it is neither of a Unix socket nor of a TCP port")?;
        let tcp = tcp.context("it is not there")?;
        tcp.set_nonblocking(true)?;
        let listening = socket_acceptconn(&tcp)?;
        (Socket::Tcp(tcp), listening)
    };
    anyhow::ensure!(
        listening,
        "it is not listening: the unit wants Accept=no, which is the default"
    );
    Ok(socket)
}

impl Socket {
    /// The address of a port.
    pub(super) fn port(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn is_at(&self, place: &Place) -> bool {
        match (self, place) {
            (Self::Tcp(_), Place::Tcp(address)) => self.port() == Some(*address),
            (Self::Unix(socket), Place::Unix(path)) => socket.path().as_os_str() == path.as_str(),
            (Self::Tcp(_) | Self::Unix(_), _) => false,
        }
    }
}
