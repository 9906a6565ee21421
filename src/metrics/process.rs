//! What the kernel tells of the process.

use std::{fmt, fs};

use prometheus_client::registry::Unit;

use super::text::Page;

/// Writes what is read at this moment.
pub(super) fn write(page: &mut Page<'_>) -> fmt::Result {
    let bytes = Some(&Unit::Bytes);
    for (name, unit, help, value) in [
        (
            "process_open_fds",
            None,
            "Open file descriptors",
            open_descriptors(),
        ),
        (
            "process_resident_memory",
            bytes,
            "Resident memory",
            status("VmRSS:").map(kib),
        ),
        ("process_threads", None, "Threads", status("Threads:")),
    ] {
        if let Some(value) = value {
            page.gauge(name, unit, help)?.put(&[], &value)?;
        }
    }
    Ok(())
}

fn kib(count: u64) -> u64 {
    count * 1024
}

/// A number that the kernel tells of the process.
fn status(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn open_descriptors() -> Option<u64> {
    // One of them is open only to count the others.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count.saturating_sub(1)).ok()
}
