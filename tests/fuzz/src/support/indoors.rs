//! A daemon without doors: everything behind them, in a runtime of one thread.

use std::{sync::Arc, time::Duration};

use discordd::{
    config::{self, Limits, Listen},
    discord::Exit,
    metrics::{Framing, Metrics},
    operation::Hall,
    surface::{
        Caller, Entrance, Rpc, Visitor, Web,
        http::{self, Pages},
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::upstream::Upstream;

/// How long an input may take. Nothing has to be waited for: what takes so long hangs.
const HANG: Duration = Duration::from_secs(20);
/// How often what goes on behind a call is given the thread.
const MAX_YIELDS: usize = 64;

/// Most calls in a batch: so few that the fuzzer comes to it.
pub(crate) const MAX_BATCH: usize = 5;
/// How deep a text may be nested: so little too.
pub(crate) const MAX_DEPTH: usize = 12;

/// A daemon without doors, and what stands in Discord's place.
pub(crate) struct Indoors {
    runtime: Runtime,
    pub(crate) house: House,
}

/// What a daemon has behind its doors.
pub(crate) struct House {
    pub(crate) hall: Arc<Hall>,
    pub(crate) pages: Pages,
    pub(crate) rpc: Arc<Rpc>,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
    pub(crate) upstream: Upstream,
}

impl Indoors {
    /// Opens one that is never closed: each thread has one as long as it lives.
    pub(crate) fn open() -> &'static Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system gives a runtime");
        let house = runtime.block_on(async { House::open(Upstream::open(), false) });
        Box::leak(Box::new(Self { runtime, house }))
    }

    /// Runs a future to its end, and what it left behind.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            let idle = self.house.tracker.len();
            let outcome = timeout(HANG, future).await.expect("it does not end");
            for _ in 0..MAX_YIELDS {
                if self.house.tracker.len() <= idle {
                    break;
                }
                yield_now().await;
            }
            outcome
        })
    }
}

impl House {
    /// Opens one whose calls go to `upstream`; must be called in a runtime.
    pub(crate) fn open(upstream: Upstream, guard: bool) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let base_url = format!("http://{}", upstream.address);
        let settings = config::Discord {
            base_url: base_url.parse().expect("an address is an origin"),
            guard,
            ..config::Discord::default()
        };
        let metrics = Arc::new(Metrics::default());
        let exit = Exit::open(&settings, &metrics, &stop, &tracker);
        let hall = Arc::new(Hall {
            exit: exit.expect("there are ports"),
            metrics,
            upstream: "fuzz".to_owned(),
        });
        let limits = Limits {
            batch: MAX_BATCH,
            depth: MAX_DEPTH,
            ..Limits::default()
        };
        let rpc = Arc::new(Rpc::new(Arc::clone(&hall), limits, tracker.clone()));
        let web = Web::new(&Listen::default());
        let pages = http::pages(Arc::clone(&rpc), web, stop.clone());
        Self {
            hall,
            pages,
            rpc,
            stop,
            tracker,
            upstream,
        }
    }
}

/// Somebody who stays.
pub(crate) fn visitor(entrance: Entrance) -> Arc<Visitor> {
    Arc::new(Visitor {
        entrance,
        ..Visitor::own()
    })
}

/// Somebody who stays, at a Unix socket, and speaks so.
pub(crate) fn caller(framing: Framing) -> Caller {
    Caller::new(
        visitor(Entrance::Unix),
        framing,
        Limits::default().calls_per_connection,
        None,
    )
}
