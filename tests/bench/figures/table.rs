//! The tables that are printed, in Markdown, with every number's unit.

use std::{fmt, time::Duration};

use super::{contest::Summary, usage::Usage};

/// Bytes in a megabyte.
const MEGABYTE: u64 = 1_000_000;

/// One table.
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// A table of loads, with these columns before and behind the usual ones.
    pub(crate) fn of_loads(
        title: impl Into<String>,
        before: &[&'static str],
        behind: &[&'static str],
    ) -> Self {
        let usual = [
            "calls/s",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
            "CPU a call, µs",
        ];
        Self::new(title, &[before, &usual, behind].concat())
    }

    pub(crate) fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Adds a load to a table of loads.
    pub(crate) fn push_load<const B: usize, const A: usize>(
        &mut self,
        before: [String; B],
        summary: &Summary,
        behind: [String; A],
    ) {
        let waits = [0.5, 0.99, 0.999].map(|part| milliseconds(summary.within(part)));
        let mut cells: Vec<String> = before.into();
        cells.push(format!("{:.0}", summary.rate));
        cells.extend(waits);
        cells.push(microseconds(summary.cpu));
        cells.extend(behind);
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(self.columns.len() - 1))?;
        for cells in &self.rows {
            writeln!(f, "| {} |", cells.join(" | "))?;
        }
        writeln!(f)
    }
}

/// Spells a time in milliseconds.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

/// Spells a time in microseconds.
pub(crate) fn microseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}

/// Spells one number as a part of another.
pub(crate) fn ratio(one: f64, other: f64) -> String {
    format!("{:.2}", one / other)
}

/// Spells one time as a part of another.
pub(crate) fn ratio_of_times(one: Duration, other: Duration) -> String {
    ratio(one.as_secs_f64(), other.as_secs_f64())
}

/// Spells a size in megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    let hundredths = (bytes * 100 + MEGABYTE / 2) / MEGABYTE;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Spells what a process holds.
pub(crate) fn resident(usage: Option<&Usage>) -> String {
    usage.map_or_else(String::new, |usage| megabytes(usage.resident))
}
