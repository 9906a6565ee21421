//! The log as systemd's journal takes it: a datagram for each entry, with every field by its name.
//! See <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::{fmt::Write as _, io, os::unix::net::UnixDatagram, path::PathBuf};

use rustix::fs::{Stat, fstat};
use tracing::Level;

use super::{
    entry::{Entry, Sink},
    json::Json,
};
use crate::config;

/// What stands before the names of fields of ours.
const PREFIX: &str = "DISCORDD_";
/// Longest name of a field that the journal takes, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The journal.
pub(super) struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journald {
    /// Finds the journal, if it takes entries there.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn open(settings: &config::Log) -> io::Result<Self> {
        let journald = Self {
            socket: UnixDatagram::unbound()?,
            path: settings.journald_socket.clone(),
        };
        // It takes a datagram without fields for nothing.
        journald.send(&[])?;
        Ok(journald)
    }

    /// Sends a datagram. The journal is found anew each time, since it may have been restarted.
    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, &self.path).map(drop)
    }
}

impl Sink for Journald {
    fn write(&self, entry: &Entry) -> io::Result<()> {
        // The journal is not there, or does not take an entry of this size.
        self.send(&datagram(entry)).or_else(|_| Json.write(entry))
    }
}

/// Whether standard error goes to the journal, as the environment said when the process was started.
/// See <https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#%24JOURNAL_STREAM>.
pub(super) fn is_stderr(settings: &config::Log) -> bool {
    let Ok(Stat { st_dev, st_ino, .. }) = fstat(io::stderr()) else {
        return false;
    };
    settings.journal_stream.as_deref() == Some(&format!("{st_dev}:{st_ino}"))
}

fn datagram(entry: &Entry) -> Vec<u8> {
    let mut datagram = Vec::new();
    let mut text = entry.message.clone();
    for (name, value) in entry.fields.all() {
        // A String takes any text, so there is nothing to report.
        let _ = write!(text, " {name}={value}");
        put(&mut datagram, &name_of(name), &value.to_string());
    }
    put(&mut datagram, "MESSAGE", &text);
    put(&mut datagram, "PRIORITY", priority(entry.level));
    put(&mut datagram, "SYSLOG_IDENTIFIER", env!("CARGO_PKG_NAME"));
    put(&mut datagram, &name_of("target"), &entry.target);
    datagram
}

/// Puts a field behind the others: on a line, or with its length where its value has several.
fn put(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// The name of a field of ours: capital letters, digits and underscores.
fn name_of(field: &str) -> String {
    let plain = |c: char| match c.to_ascii_uppercase() {
        c @ ('A'..='Z' | '0'..='9') => c,
        _ => '_',
    };
    let mut name = PREFIX.to_owned();
    name.extend(field.chars().map(plain));
    name.truncate(MAX_NAME_BYTES);
    name
}

/// The severity that syslog has for a level.
/// See <https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1>.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_has_its_length_before_it() {
        let mut datagram = Vec::new();
        put(&mut datagram, "A", "b=c");
        put(&mut datagram, "B", "c\nd");
        assert_eq!(datagram, b"A=b=c\nB\n\x03\0\0\0\0\0\0\0c\nd\n");
    }

    #[test]
    fn names_are_what_the_journal_takes() {
        assert_eq!(name_of("duration_ms"), "DISCORDD_DURATION_MS");
        assert_eq!(name_of("a.b-é"), "DISCORDD_A_B__");
        assert_eq!(name_of(&"x".repeat(100)).len(), 64);
    }
}
