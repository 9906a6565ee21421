//! The table that is printed, in Markdown, with every number's unit.

use std::{fmt, time::Duration};

use super::{Usage, load::percentile};

/// Bytes in a megabyte.
const MEGABYTE: u64 = 1_000_000;

/// What the columns are.
const HEAD: [&str; 8] = [
    "Figure",
    "Value",
    "p50, ms",
    "p99, ms",
    "CPU a call, µs",
    "RSS, MB",
    "Threads",
    "Descriptors",
];

/// All figures.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

/// A figure and what was seen beside it.
pub(crate) struct Row([String; HEAD.len()]);

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.0.extend(rows);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", HEAD.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(HEAD.len() - 1))?;
        for Row(cells) in &self.0 {
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

impl Row {
    /// A figure by its name; the value carries its unit.
    pub(crate) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        let mut cells = [const { String::new() }; HEAD.len()];
        cells[0] = name.into();
        cells[1] = value.into();
        Self(cells)
    }

    /// Adds how long calls took, of sorted times.
    pub(crate) fn with_waits(mut self, waits: &[Duration]) -> Self {
        for (cell, percent) in [(2, 50), (3, 99)] {
            let wait = percentile(waits, percent).as_secs_f64() * 1e3;
            self.0[cell] = format!("{wait:.3}");
        }
        self
    }

    /// Adds the daemon's time on a core for each call.
    pub(crate) fn with_cpu(mut self, cpu: Duration) -> Self {
        self.0[4] = format!("{:.1}", cpu.as_secs_f64() * 1e6);
        self
    }

    /// Adds what the daemon holds after the calls.
    pub(crate) fn with_usage(mut self, usage: &Usage) -> Self {
        self.0[5] = in_megabytes(usage.resident);
        self.0[6] = usage.threads.to_string();
        self.0[7] = usage.descriptors.to_string();
        self
    }
}

/// Spells a time in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Spells a size in megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{} MB", in_megabytes(bytes))
}

/// Spells how many calls were answered in a second.
pub(crate) fn rate(calls: u32, took: Duration) -> String {
    format!("{:.0} calls/s", f64::from(calls) / took.as_secs_f64())
}

fn in_megabytes(bytes: u64) -> String {
    let hundredths = (bytes * 100 + MEGABYTE / 2) / MEGABYTE;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
