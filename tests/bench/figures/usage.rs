//! What a process uses, as the kernel tells of it.

use std::{
    collections::HashMap,
    fs,
    io::{self},
    time::Duration,
};

use anyhow::Context;

/// What a process has used so far, and what it holds now.
#[derive(Debug)]
pub(crate) struct Usage {
    /// Memory that is resident, in bytes.
    pub(crate) resident: u64,
    /// Nanoseconds on a core, by thread. The ticks of `stat` would be too coarse.
    cpu: HashMap<String, u64>,
}

impl Usage {
    /// Looks at a process.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub(crate) fn of(id: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let mut lines = status.lines();
        let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|it| it.trim().strip_suffix(" kB"));
        let kibibytes: u64 = resident.context("a process without memory")?.parse()?;
        Ok(Self {
            resident: kibibytes * 1024,
            cpu: cpu_by_thread(id)?,
        })
    }

    /// Threads.
    pub(crate) fn threads(&self) -> usize {
        self.cpu.len()
    }

    /// Time on a core since an earlier look. Of a thread that ended meanwhile nothing is known; the
    /// runtime's end only after ten idle seconds.
    pub(crate) fn cpu_since(&self, before: &Self) -> Duration {
        let spent = self.cpu.iter().map(|(thread, now)| {
            let then = before.cpu.get(thread).copied().unwrap_or_default();
            now.saturating_sub(then)
        });
        Duration::from_nanos(spent.sum())
    }
}

/// Reads the first number of each thread's `schedstat`.
/// See <https://docs.kernel.org/scheduler/sched-stats.html>.
fn cpu_by_thread(id: u32) -> anyhow::Result<HashMap<String, u64>> {
    let mut cpu = HashMap::new();
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let thread = thread?;
        let statistics = match fs::read_to_string(thread.path().join("schedstat")) {
            Ok(statistics) => statistics,
            // It ended since the folder was listed.
            Err(err) if is_gone(&err) => continue,
            Err(err) => return Err(err).context("read a thread's schedstat"),
        };
        let spent = statistics.split(' ').next().unwrap_or_default();
        let name = thread.file_name().to_string_lossy().into_owned();
        cpu.insert(name, spent.parse()?);
    }
    Ok(cpu)
}

fn is_gone(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound
        || err.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// How often the kernel, of all processes, sent a SYN again or dropped one at a full queue.
/// See <https://docs.kernel.org/networking/snmp_counter.html>.
///
/// # Errors
///
/// When the kernel does not tell.
pub(crate) fn lost_syns() -> anyhow::Result<u64> {
    let told = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = told
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = lines.next().zip(lines.next()).context("no counters")?;
    let mut lost = 0;
    for (name, value) in names.split(' ').zip(values.split(' ')) {
        if ["ListenDrops", "ListenOverflows", "TCPSynRetrans"].contains(&name) {
            lost += value.parse::<u64>()?;
        }
    }
    Ok(lost)
}
