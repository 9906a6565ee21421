//! The log as JSON: an object on each line, the fields beside the message.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::entry::{Entry, Sink};

/// Standard error, an object on each line.
pub(super) struct Json;

impl Sink for Json {
    fn write(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // At once, so that no other's comes between.
        io::stderr().lock().write_all(&line)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        let now = humantime::format_rfc3339_micros(SystemTime::now());
        object.serialize_entry("timestamp", &format_args!("{now}"))?;
        object.serialize_entry("level", self.level.as_str())?;
        object.serialize_entry("message", &self.message)?;
        object.serialize_entry("target", &self.target)?;
        for (name, value) in self.fields.all() {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }
}
