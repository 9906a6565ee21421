//! JSON-RPC 2.0: the methods in jsonrpsee's registry, and the codes of their errors.
//!
//! jsonrpsee is the registry and the types here, not the transport; the documents around the calls
//! are read in `document`.

use std::{
    borrow::Cow,
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::FutureExt;
use jsonrpsee::{
    Methods,
    types::{
        ErrorObject,
        error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE},
    },
};
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{
    Caller, Full, Shares,
    admit::allow,
    onward::Onward,
    openrpc, registry,
    seen::{Seen, tell_bot},
};
use crate::{
    config::Limits,
    discord::{Delivered, Peer, Progress, Token},
    frame::Bounds,
    memory::Memory,
    metrics::{Method, Metrics},
    operation::{Call, DISCOVER, Effect, Entry, Error, Hall, Job, Limit, Params, Rights, TABLE},
};

/// Every method, ready to be called.
pub struct Rpc {
    pub(super) methods: Methods,
    pub(super) shared: Arc<Shared>,
}

/// What every call of every surface shares.
pub(super) struct Shared {
    pub(super) hall: Arc<Hall>,
    pub(super) limits: Limits,
    pub(super) memory: Arc<Memory>,
    places: Arc<Shares>,
    pub(super) tracker: TaskTracker,
    /// What is counted of each operation, in the order of the table, then of `rpc.discover`, and
    /// then of whatever is called that there is not.
    pub(super) figures: Vec<Arc<Method>>,
}

/// Who asks, of a call whose token is known.
pub(super) struct Asker {
    pub(super) token: Option<Token>,
    pub(super) peer: Peer,
    pub(super) rights: Arc<Rights>,
    pub(super) progress: Progress,
}

/// What every method that there is not is counted as.
const UNKNOWN: &str = "unknown";

/// What a method without params takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

impl Rpc {
    /// Registers every operation of the table. Calls that change something run on `tracker`.
    ///
    /// # Panics
    ///
    /// When two operations have the same name.
    #[must_use]
    pub fn new(hall: Arc<Hall>, limits: Limits, tracker: TaskTracker) -> Self {
        let names = TABLE
            .iter()
            .map(|entry| entry.name)
            .chain([DISCOVER, UNKNOWN]);
        let shared = Arc::new(Shared {
            figures: names.map(|name| hall.metrics.method(name)).collect(),
            hall,
            memory: Memory::new(limits.memory.bytes()),
            places: Shares::new(limits.calls, limits.calls_per_peer),
            limits,
            tracker,
        });
        let methods = registry::of(&shared);
        Self { methods, shared }
    }

    /// What connections share.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.shared.memory
    }

    /// What the process counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.hall.metrics
    }

    /// Answers an operation that needs neither params nor a token, outside of JSON-RPC.
    ///
    /// # Errors
    ///
    /// When the caller may not ask for it.
    pub(super) async fn local(
        &self,
        entry: &'static Entry,
        caller: &Caller,
    ) -> Result<String, Error> {
        let shared = Arc::clone(&self.shared);
        let begin = |shared: &Shared| shared.begin(entry, Params::default(), Some(caller));
        shared.carry_out(entry, Some(caller), begin).await
    }
}

impl Asker {
    /// Somebody whose token is known.
    pub(super) fn new(
        caller: Option<&Caller>,
        rights: Arc<Rights>,
        token: Option<Token>,
        progress: Progress,
    ) -> Self {
        Self {
            token,
            peer: caller.map_or(Peer::Own, |caller| caller.visitor.peer),
            rights,
            progress,
        }
    }
}

impl Shared {
    /// How large a text may be.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            max_bytes: self.limits.request_bytes.bytes(),
            max_depth: self.limits.depth,
        }
    }

    /// Reads the params of a call: its token and its time, and then its own.
    pub(super) fn begin(
        &self,
        entry: &Entry,
        mut params: Params<'_>,
        caller: Option<&Caller>,
    ) -> Result<Job, Error> {
        let rights = allow(caller, entry.name, entry.effect)?;
        let mut token = None;
        if entry.takes_token() {
            token = match params.take::<Cow<'_, str>>("discord_token")? {
                Some(text) => Some(Token::parse(&text)?),
                None => caller.and_then(|it| it.token.clone()).transpose()?,
            };
        }
        let asker = Asker::new(caller, rights, token, Progress::default());
        self.begin_with(entry, params, asker)
    }

    /// Reads the params of a call whose token is known: its time, and then its own.
    pub(super) fn begin_with(
        &self,
        entry: &Entry,
        mut params: Params<'_>,
        asker: Asker,
    ) -> Result<Job, Error> {
        let mut timeout = self.limits.call_timeout;
        if entry.takes_token() {
            if self.hall.metrics.draining() {
                return Err(Error::Stopping);
            }
            timeout = self.timeout(params.take("timeout_ms")?)?;
        }
        let Asker {
            token,
            peer,
            rights,
            progress,
        } = asker;
        if let Some(token) = &token {
            tell_bot(token);
        }
        let call = Call {
            hall: Arc::clone(&self.hall),
            token,
            peer,
            rights,
            deadline: Instant::now() + timeout,
            progress,
        };
        entry.read(params, call)
    }

    /// Carries out a call of any surface: `begin` reads it. One that changes something goes on when
    /// nobody waits for it any more.
    pub(super) async fn carry_out(
        self: Arc<Self>,
        entry: &'static Entry,
        caller: Option<&Caller>,
        begin: impl FnOnce(&Self) -> Result<Job, Error>,
    ) -> Result<String, Error> {
        let seen = Seen::begin(&self, entry.name, caller);
        let span = seen.span().clone();
        let reading = async { span.in_scope(|| begin(&self)) };
        let job = match unless_it_panics(reading, Delivered::No).await {
            Ok(job) => job,
            Err(error) => return seen.end(Err(error)),
        };
        if !entry.takes_token() {
            let outcome = unless_it_panics(job, Delivered::No).instrument(span);
            return seen.end(outcome.await);
        }
        // Boxed, so that a call that asks nothing of Discord is no larger for it.
        Box::pin(self.ask(entry.effect, caller, job, seen)).await
    }

    /// Carries out a call that asks something of Discord.
    async fn ask(
        self: Arc<Self>,
        effect: Effect,
        caller: Option<&Caller>,
        job: Job,
        seen: Seen,
    ) -> Result<String, Error> {
        let span = seen.span().clone();
        let peer = caller.map_or(Peer::Own, |caller| caller.visitor.peer);
        let counted = Arc::clone(&self).counted(peer, job);
        if effect == Effect::Posts {
            let counted = unless_it_panics(counted, Delivered::Unknown).instrument(span);
            let seen = async { seen.end(counted.await) };
            return Onward::new(seen, self.tracker.clone()).await;
        }
        let counted = unless_it_panics(counted, Delivered::No).instrument(span);
        seen.end(unless_nobody_waits(counted, caller).await)
    }

    /// Runs a call of `peer` to Discord, if there is a place for one more.
    async fn counted(self: Arc<Self>, peer: Peer, job: Job) -> Result<String, Error> {
        let _place = self.places.take(peer).map_err(|full| match full {
            Full::All { limit } => Error::Limited(Limit::Calls { limit }),
            Full::Peer { limit } => Error::Limited(Limit::CallsOfPeer { limit }),
        })?;
        let _in_flight = self.hall.metrics.begin_call();
        job.await
    }

    /// Answers what the methods are.
    pub(super) fn discover(
        self: &Arc<Self>,
        params: Option<&str>,
        caller: Option<&Caller>,
    ) -> Result<String, Error> {
        let seen = Seen::begin(self, DISCOVER, caller);
        let read = allow(caller, DISCOVER, Effect::Local).and_then(|_| {
            let params = Params::parse(params.unwrap_or("{}"), &[])?;
            params.read::<NoParams>()
        });
        seen.end(read.map(|_| discovered()))
    }

    /// Which of the methods that are counted is called so; the last is for names that none has.
    pub(super) fn number_of(&self, name: &str) -> usize {
        let known = self.figures.iter().position(|it| it.name() == name);
        known.unwrap_or(self.figures.len() - 1)
    }

    fn timeout(&self, asked_ms: Option<u64>) -> Result<Duration, Error> {
        let max = self.limits.call_timeout;
        match asked_ms.map(Duration::from_millis) {
            None => Ok(max),
            Some(asked) if asked <= max && !asked.is_zero() => Ok(asked),
            Some(_) => Err(Error::Param {
                path: "timeout_ms".to_owned(),
                wanted: format!("a number of milliseconds from 1 to {}", max.as_millis()),
            }),
        }
    }
}

/// The `OpenRPC` document, which is the same for every call.
pub(super) fn discovered() -> String {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openrpc::document().to_string());
    DOCUMENT.clone()
}

/// Gives up a call that only reads when its caller is gone.
async fn unless_nobody_waits<T>(
    call: impl Future<Output = Result<T, Error>>,
    caller: Option<&Caller>,
) -> Result<T, Error> {
    let Some(caller) = caller else {
        return call.await;
    };
    tokio::select! {
        biased;
        outcome = call => outcome,
        () = caller.visitor.gone.wait() => Err(Error::Abandoned),
    }
}

/// A panic costs one call.
async fn unless_it_panics<T>(
    job: impl Future<Output = Result<T, Error>>,
    delivered: Delivered,
) -> Result<T, Error> {
    let outcome = AssertUnwindSafe(job).catch_unwind().await;
    outcome.unwrap_or(Err(Error::Internal { delivered }))
}

/// Spells an error in JSON-RPC.
pub(super) fn error_object(error: &Error) -> ErrorObject<'static> {
    ErrorObject::owned(code(error), error.sentence(), Some(error.details()))
}

/// Gives the code of an error: an HTTP status where one says the same, else the protocol's own.
pub(super) fn code(error: &Error) -> i32 {
    match error.status() {
        Some(status) => i32::from(status),
        None if error.is_mistake() => INVALID_PARAMS_CODE,
        None => INTERNAL_ERROR_CODE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_call() {
        let panics = async { panic!("made up") as Result<(), Error> };
        let outcome = unless_it_panics(panics, Delivered::Unknown).await;
        let object = error_object(&outcome.unwrap_err());
        assert_eq!(object.code(), INTERNAL_ERROR_CODE);
        assert!(!object.message().contains("made up"), "{object}");
        let fine = unless_it_panics(async { Ok("null".to_owned()) }, Delivered::No);
        assert!(fine.await.is_ok());
    }
}
