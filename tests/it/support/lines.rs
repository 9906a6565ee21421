//! A raw connection: JSON texts in, a line for each answer.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

use super::certificates::Secured;

/// How long a read may wait: a test that hangs fails instead.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection of any kind.
enum Stream {
    Secured(Box<Secured>),
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A raw connection.
pub(crate) struct Lines(BufReader<Stream>);

impl Lines {
    pub(crate) fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        Self(BufReader::new(Stream::Unix(stream)))
    }

    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(Stream::Tcp(stream)))
    }

    pub(crate) fn secured(stream: Secured) -> Self {
        Self(BufReader::new(Stream::Secured(Box::new(stream))))
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Says that nothing more will come.
    pub(crate) fn end(&mut self) {
        match self.0.get_mut() {
            Stream::Secured(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Reads one answer.
    pub(crate) fn read(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "no whole answer: {line:?}");
        serde_json::from_str(&line).unwrap_or_else(|err| panic!("{err} in {line}"))
    }

    /// Sends one call and reads one answer.
    pub(crate) fn ask(&mut self, call: &Value) -> Value {
        self.send(format!("{call}\n").as_bytes());
        self.read()
    }

    /// Reads every answer until the other end closes.
    pub(crate) fn rest(mut self) -> Vec<Value> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        let lines = rest.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    /// Reads every answer as it was written, until the other end closes.
    pub(crate) fn rest_of_text(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Sends bytes, ends the input, and reads every answer.
    pub(crate) fn exchange(mut self, bytes: &[u8]) -> Vec<Value> {
        self.send(bytes);
        self.end();
        self.rest()
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Secured(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Secured(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Secured(stream) => stream.flush(),
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
        }
    }
}
