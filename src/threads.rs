//! The threads that serve: one for each core, each with a runtime of its own.
//!
//! A connection stays on the thread that it is given to, with its calls and what they ask of Discord.
//! Where every thread takes what there is to do, a call is handed from one to another at nearly every
//! step, and waking the other costs more than the step. It must not know what is served.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// The runtimes, each driven by a thread.
#[derive(Clone)]
pub struct Threads(Vec<Thread>);

#[derive(Clone)]
struct Thread {
    runtime: Handle,
    /// One more for each thing that is given to it.
    given: Arc<()>,
}

/// The thread that something is given to, until this is dropped.
pub struct Given {
    runtime: Handle,
    _counted: Arc<()>,
}

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
        Self(vec![Thread::of(Handle::current())])
    }

    /// Starts one for each core but this, which has to drive `first` itself.
    ///
    /// # Errors
    ///
    /// When the system gives no more.
    pub fn start(first: &Runtime) -> io::Result<(Self, Others)> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let over = CancellationToken::new();
        let mut threads = Self(vec![Thread::of(first.handle().clone())]);
        let mut running = Vec::new();
        for number in 1..cores {
            let runtime = runtime()?;
            threads.0.push(Thread::of(runtime.handle().clone()));
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

    /// The runtimes of all of them.
    pub fn all(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|thread| &thread.runtime)
    }

    /// The one that the least is given to, for one thing more.
    ///
    /// # Panics
    ///
    /// Never: there is at least one.
    #[must_use]
    pub fn give(&self) -> Given {
        let least = self.0.iter().min_by_key(|it| Arc::strong_count(&it.given));
        let Thread { runtime, given } = least.expect("there is at least one").clone();
        Given {
            runtime,
            _counted: given,
        }
    }
}

impl Thread {
    fn of(runtime: Handle) -> Self {
        Self {
            runtime,
            given: Arc::default(),
        }
    }
}

impl Given {
    /// What drives it.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
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
            for (number, runtime) in threads.all().enumerate() {
                let ran = runtime.spawn(async { thread::current().id() }).await;
                assert_eq!(ran.unwrap() == here, number == 0);
            }
        });
        others.end();
    }

    #[test]
    fn each_thread_is_given_as_much_as_the_others() {
        let first = runtime().unwrap();
        let (threads, others) = Threads::start(&first).unwrap();
        let all = || threads.all().map(Handle::id);
        let mut given: Vec<Given> = all().map(|_| threads.clone().give()).collect();
        assert!(given.iter().map(|it| it.runtime().id()).eq(all()));
        let last = given.pop().unwrap().runtime().id();
        assert_eq!(threads.give().runtime().id(), last);
        others.end();
    }
}
