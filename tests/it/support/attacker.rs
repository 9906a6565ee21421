//! Connections that attack: they say as much as they can, and what they begin with.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
};

use super::daemon::Daemon;

/// How a connection becomes a WebSocket.
pub(crate) const UPGRADE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// An attacker's connection: what it has still to say, which may be without end.
pub(crate) struct Attacker {
    pub(crate) stream: UnixStream,
    first: Vec<u8>,
    again: Vec<u8>,
    sent: usize,
}

impl Attacker {
    pub(crate) fn connect(daemon: &Daemon, first: &[u8], again: &[u8]) -> io::Result<Self> {
        let stream = UnixStream::connect(&daemon.socket)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            first: first.to_vec(),
            again: again.to_vec(),
            sent: 0,
        })
    }

    /// Says as much as is taken; false if the daemon has closed.
    pub(crate) fn go_on(&mut self) -> bool {
        loop {
            let rest = match self.first.get(self.sent..) {
                Some(rest) if !rest.is_empty() => rest,
                _ if self.again.is_empty() => return true,
                _ => {
                    let said = (self.sent - self.first.len()) % self.again.len();
                    &self.again[said..]
                }
            };
            match self.stream.write(rest) {
                Ok(bytes) => self.sent += bytes,
                Err(err) => return err.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Reads all that has come; false if the daemon has closed.
    pub(crate) fn read_all(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 1 << 14]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(err) => return err.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// A frame as a client sends it, masked with zeros.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode, 0x80 | 127];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// A request over HTTP whose body is said to be so long.
pub(crate) fn post(length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
