//! The threads that serve: one for each core, each with a runtime of its own.
//!
//! A connection stays on the thread that it is given to, with its calls and what they ask of Discord.
//! Where every thread takes what there is to do, a call is handed from one to another at nearly every
//! step, and waking the other costs more than the step. It must not know what is served.

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// The runtimes, each driven by a thread.
#[derive(Clone)]
pub struct Threads(Vec<Handle>);

/// The threads beside the one that they were started from.
pub struct Others {
    over: CancellationToken,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    /// The one that this is called on.
    ///
    /// # Panics
    ///
    /// When it has no runtime.
    #[must_use]
    pub fn current() -> Self {
        Self(vec![Handle::current()])
    }

    /// Starts one for each core but this, which has to drive `first` itself.
    ///
    /// # Errors
    ///
    /// When the system gives no more.
    pub fn start(first: &Runtime) -> io::Result<(Self, Others)> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let over = CancellationToken::new();
        let mut threads = Self(vec![first.handle().clone()]);
        let mut running = Vec::new();
        for number in 1..cores {
            let runtime = runtime()?;
            threads.0.push(runtime.handle().clone());
            let over = over.clone();
            let serve = move || {
                runtime.block_on(over.cancelled());
                runtime.shutdown_background();
            };
            let name = format!("serve-{number}");
            running.push(thread::Builder::new().name(name).spawn(serve)?);
        }
        Ok((threads, Others { over, running }))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Handle] {
        &self.0
    }

    /// The one with the least to do: of two, the one that was started first.
    ///
    /// # Panics
    ///
    /// Never: there is at least one.
    #[must_use]
    pub fn idlest(&self) -> &Handle {
        let tasks = |it: &&Handle| it.metrics().num_alive_tasks();
        let idlest = self.0.iter().min_by_key(tasks);
        idlest.expect("there is at least one")
    }
}

impl Others {
    /// Ends them, and with them all that still runs there.
    pub fn end(self) {
        self.over.cancel();
        for thread in self.running {
            // Of a panic there it was told already.
            let _ = thread.join();
        }
    }
}

/// The runtime of one thread.
///
/// # Errors
///
/// When the system gives none.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_to_a_thread_runs_there_until_all_end() {
        let first = runtime().unwrap();
        let (threads, others) = Threads::start(&first).unwrap();
        let here = thread::current().id();
        first.block_on(async {
            for (number, handle) in threads.all().iter().enumerate() {
                let ran = handle.spawn(async { thread::current().id() }).await;
                assert_eq!(ran.unwrap() == here, number == 0);
            }
            let busy = threads.idlest().spawn(std::future::pending::<()>());
            let last = threads.all().len() - 1;
            let other = threads.idlest().id();
            assert_eq!(other, threads.all()[last.min(1)].id());
            busy.abort();
        });
        others.end();
    }
}
