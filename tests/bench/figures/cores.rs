//! Cores: servers on one and the load on another, so that a ratio does not hang on where the kernel
//! puts them. Two threads that wake each other on one core are twice as fast as on two.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where servers and the load run.
#[derive(Clone, Copy)]
pub(crate) enum Cores {
    /// Wherever the kernel puts them.
    Any,
    /// Servers on the first of them, the load on the second.
    Two([usize; 2]),
}

/// What this thread may use until this is dropped; what it starts has the same.
pub(crate) struct Bound(CpuSet);

impl Cores {
    /// Any, and then two, if there are two.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let two = cores.next().zip(cores.next());
        let two = two.map(|(first, second)| Self::Two([first, second]));
        Ok([Some(Self::Any), two].into_iter().flatten().collect())
    }

    /// How they are told of.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Two(_) => "one each",
        }
    }

    /// Binds what starts a server.
    pub(crate) fn bind_servers(self) -> anyhow::Result<Bound> {
        self.bind(0)
    }

    /// Binds what makes the load.
    pub(crate) fn bind_load(self) -> anyhow::Result<Bound> {
        self.bind(1)
    }

    fn bind(self, which: usize) -> anyhow::Result<Bound> {
        let bound = Bound(sched_getaffinity(None)?);
        if let Self::Two(cores) = self {
            let mut only = CpuSet::new();
            only.set(cores[which]);
            sched_setaffinity(None, &only)?;
        }
        Ok(bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // It may use what it could.
        let _ = sched_setaffinity(None, &self.0);
    }
}
