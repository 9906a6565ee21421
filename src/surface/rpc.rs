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
    ResponsePayload, RpcModule,
    types::{
        ErrorObject, Params as RpcParams,
        error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE},
    },
};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::TaskTracker;

use super::{Caller, openrpc};
use crate::{
    config::Limits,
    discord::{Delivered, Peer, Progress, Token},
    metrics::Metrics,
    operation::{Call, DISCOVER, Effect, Entry, Error, Hall, Job, Params, Rights, TABLE},
};

/// Every method, ready to be called.
pub struct Rpc {
    pub(super) methods: RpcModule<Shared>,
    pub(super) shared: Arc<Shared>,
}

/// What every call of every surface shares.
pub(super) struct Shared {
    pub(super) hall: Arc<Hall>,
    pub(super) limits: Limits,
    places: Semaphore,
    pub(super) tracker: TaskTracker,
}

/// Who asks, of a call whose token is known.
pub(super) struct Asker {
    pub(super) token: Option<Token>,
    pub(super) peer: Peer,
    pub(super) rights: Arc<Rights>,
    pub(super) progress: Progress,
}

/// What a method without params takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

type Payload = ResponsePayload<'static, Box<RawValue>>;

impl Rpc {
    /// Registers every operation of the table. Calls that change something run on `tracker`.
    ///
    /// # Panics
    ///
    /// When two operations have the same name.
    #[must_use]
    pub fn new(hall: Arc<Hall>, limits: Limits, tracker: TaskTracker) -> Self {
        let shared = Arc::new(Shared {
            hall,
            places: Semaphore::new(limits.calls),
            limits,
            tracker,
        });
        let mut methods = RpcModule::from_arc(Arc::clone(&shared));
        for entry in TABLE {
            let positions: Arc<[_]> = positions(entry).into();
            methods
                .register_async_method(entry.name, move |params, shared, extensions| {
                    let positions = Arc::clone(&positions);
                    async move {
                        let outcome = async {
                            let (params, caller) = (read(&params, &positions)?, extensions.get());
                            let job = shared.begin(entry, params, caller)?;
                            let finished = Arc::clone(&shared).finish(entry, job);
                            unless_nobody_waits(entry, finished, caller).await
                        };
                        let outcome = unless_it_panics(outcome, Delivered::No).await;
                        payload(outcome.inspect_err(|error| shared.refused(error)))
                    }
                })
                .expect("a test holds the names unique");
        }
        methods
            .register_method(DISCOVER, |params, shared, extensions| {
                let allowed = allow(extensions.get(), DISCOVER, Effect::Local);
                let read = allowed.and_then(|_| {
                    let params = Params::parse(params.as_str().unwrap_or("{}"), &[])?;
                    params.read::<NoParams>()
                });
                let read = read.inspect_err(|error| shared.refused(error));
                payload(read.map(|_| discovered()))
            })
            .expect("a test holds the names unique");
        Self { methods, shared }
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
    ) -> Result<Box<RawValue>, Error> {
        let job = self.shared.begin(entry, Params::default(), Some(caller))?;
        job.await
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

    /// Runs a call. One that changes something goes on when nobody waits for it any more.
    pub(super) async fn finish(
        self: Arc<Self>,
        entry: &Entry,
        job: Job,
    ) -> Result<Box<RawValue>, Error> {
        if !entry.takes_token() {
            return job.await;
        }
        let shared = Arc::clone(&self);
        let counted = async move {
            let Ok(_place) = shared.places.try_acquire() else {
                let calls = shared.limits.calls;
                return Err(Error::Busy { calls });
            };
            let _in_flight = shared.hall.metrics.begin_call();
            job.await
        };
        match entry.effect {
            Effect::Local | Effect::Reads => counted.await,
            Effect::Posts => {
                let spawned = self
                    .tracker
                    .spawn(unless_it_panics(counted, Delivered::Unknown));
                spawned.await.unwrap_or(Err(Error::Internal {
                    delivered: Delivered::Unknown,
                }))
            }
        }
    }

    /// Counts a call that the daemon turned away.
    pub(super) fn refused(&self, error: &Error) {
        if let Some(why) = error.refusal() {
            self.hall.metrics.refuse(why);
        }
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

/// Gives what a caller may, if that is to call this method at all. Rights that were taken away
/// since the connection was made are gone.
pub(super) fn allow(
    caller: Option<&Caller>,
    method: &'static str,
    effect: Effect,
) -> Result<Arc<Rights>, Error> {
    let Some(caller) = caller else {
        return Ok(Arc::default());
    };
    let rights = caller.visitor.rights.now();
    let allowed = rights
        .admit(caller.visitor.user)
        .and_then(|()| rights.check_secret(caller.secret.as_ref()))
        .and_then(|()| rights.check_method(method, effect));
    allowed?;
    Ok(rights)
}

fn read<'a>(
    params: &'a RpcParams<'static>,
    positions: &[&'static str],
) -> Result<Params<'a>, Error> {
    let json = params.as_str();
    json.map_or_else(
        || Ok(Params::default()),
        |json| Params::parse(json, positions),
    )
}

/// The `OpenRPC` document, which is the same for every call.
pub(super) fn discovered() -> Box<RawValue> {
    static DOCUMENT: LazyLock<Box<RawValue>> = LazyLock::new(|| {
        to_raw_value(&openrpc::document()).expect("a document is a JSON value already")
    });
    DOCUMENT.clone()
}

/// What may come by position: the token first, for a call that takes one.
fn positions(entry: &Entry) -> Vec<&'static str> {
    let token = entry.takes_token().then_some("discord_token");
    token
        .into_iter()
        .chain(entry.positions.iter().copied())
        .collect()
}

/// Gives up a call that only reads when its caller is gone; what changes something goes on.
pub(super) async fn unless_nobody_waits(
    entry: &Entry,
    call: impl Future<Output = Result<Box<RawValue>, Error>>,
    caller: Option<&Caller>,
) -> Result<Box<RawValue>, Error> {
    match caller {
        Some(caller) if entry.effect == Effect::Reads => tokio::select! {
            biased;
            outcome = call => outcome,
            () = caller.visitor.gone.wait() => Err(Error::Abandoned),
        },
        Some(_) | None => call.await,
    }
}

/// A panic costs one call.
pub(super) async fn unless_it_panics(
    job: impl Future<Output = Result<Box<RawValue>, Error>>,
    delivered: Delivered,
) -> Result<Box<RawValue>, Error> {
    let outcome = AssertUnwindSafe(job).catch_unwind().await;
    outcome.unwrap_or(Err(Error::Internal { delivered }))
}

fn payload(outcome: Result<Box<RawValue>, Error>) -> Payload {
    match outcome {
        Ok(reply) => ResponsePayload::success(reply),
        Err(error) => ResponsePayload::error(error_object(&error)),
    }
}

/// Spells an error in JSON-RPC.
pub(super) fn error_object(error: &Error) -> ErrorObject<'static> {
    ErrorObject::owned(code(error), error.sentence(), Some(error.details()))
}

/// Gives the code of an error: an HTTP status where one says the same, else the protocol's own.
fn code(error: &Error) -> i32 {
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
        let panics = async { panic!("made up") };
        let outcome = unless_it_panics(panics, Delivered::Unknown).await;
        let object = error_object(&outcome.unwrap_err());
        assert_eq!(object.code(), INTERNAL_ERROR_CODE);
        assert!(!object.message().contains("made up"), "{object}");
        let fine = unless_it_panics(async { Ok(RawValue::NULL.to_owned()) }, Delivered::No);
        assert!(fine.await.is_ok());
    }
}
