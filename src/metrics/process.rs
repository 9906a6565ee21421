//! What the kernel tells of the process, under the names that Prometheus' own clients use.
//! See <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::registry::Unit;
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::text::Page;

/// Writes what is read at this moment of the process that was `begun` then.
pub(super) fn write(page: &mut Page<'_>, begun: SystemTime) -> fmt::Result {
    let (bytes, seconds) = (Some(&Unit::Bytes), Some(&Unit::Seconds));
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let millis = cpu.tv_sec * 1000 + cpu.tv_nsec / 1_000_000;
    page.counter("process_cpu", seconds, "Time on a core")?
        .put_seconds(&[], u64::try_from(millis).unwrap_or_default())?;
    let begun = begun.duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "When the process was started, since 1970";
    page.gauge("process_start_time", seconds, help)?
        .put(&[], &begun.as_secs_f64())?;
    for (name, unit, help, value) in [
        (
            "process_max_fds",
            None,
            "How many file descriptors may be open",
            getrlimit(Resource::Nofile).current,
        ),
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
        (
            "process_virtual_memory",
            bytes,
            "Virtual memory",
            status("VmSize:").map(kib),
        ),
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
