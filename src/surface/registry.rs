//! The methods of JSON-RPC in jsonrpsee's registry.
//!
//! A reply goes beside what jsonrpsee writes: it would write it a second time, and read that to see
//! whether it is JSON.

use std::sync::Arc;

use futures_util::FutureExt as _;
use jsonrpsee::{
    Extensions, MethodCallback, MethodResponse, Methods,
    types::{Id, Params as RpcParams},
};

use super::{
    Caller,
    rpc::{Shared, error_object},
};
use crate::operation::{DISCOVER, Entry, Error, Params, TABLE};

/// What a call brings along through jsonrpsee: who asks, and on the way back the reply to it.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) caller: Arc<Caller>,
    pub(super) reply: Option<String>,
}

/// Registers every operation of the table.
///
/// # Panics
///
/// When two operations have the same name.
pub(super) fn of(shared: &Arc<Shared>) -> Methods {
    let mut methods = Methods::new();
    for entry in TABLE {
        methods
            .verify_and_insert(entry.name, method(entry, shared))
            .expect("a test holds the names unique");
    }
    let discovers = Arc::clone(shared);
    let discover = move |_: Id<'_>, params: RpcParams<'_>, _, extensions: Extensions| {
        let outcome = discovers.discover(params.as_str(), Some(caller(&extensions)));
        response(outcome, extensions)
    };
    methods
        .verify_and_insert(DISCOVER, MethodCallback::Sync(Arc::new(discover)))
        .expect("a test holds the names unique");
    methods
}

/// An operation as it stands in the registry.
fn method(entry: &'static Entry, shared: &Arc<Shared>) -> MethodCallback {
    let (shared, positions) = (Arc::clone(shared), Arc::<[_]>::from(positions(entry)));
    MethodCallback::Async(Arc::new(move |_, params, _, _, extensions| {
        let (shared, positions) = (Arc::clone(&shared), Arc::clone(&positions));
        let answered = async move {
            let caller = Some(caller(&extensions));
            let begin = |shared: &Shared| shared.begin(entry, read(&params, &positions)?, caller);
            let outcome = shared.carry_out(entry, caller, begin).await;
            response(outcome, extensions)
        };
        answered.boxed()
    }))
}

/// # Panics
///
/// When a document is answered without what this asks for.
fn caller(extensions: &Extensions) -> &Caller {
    let asked = extensions.get::<Asked>();
    &asked.expect("`Rpc::call` puts it there").caller
}

/// What came of a call: an error as jsonrpsee writes it, a reply beside an answer without one.
fn response(outcome: Result<String, Error>, mut extensions: Extensions) -> MethodResponse {
    match outcome {
        Ok(reply) => {
            let asked = extensions.get_mut::<Asked>();
            asked.expect("`Rpc::call` puts it there").reply = Some(reply);
            MethodResponse::notification().with_extensions(extensions)
        }
        Err(error) => MethodResponse::error(Id::Null, error_object(&error)),
    }
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

/// What may come by position: the token first, for a call that takes one.
fn positions(entry: &Entry) -> Vec<&'static str> {
    let token = entry.takes_token().then_some("discord_token");
    token
        .into_iter()
        .chain(entry.positions.iter().copied())
        .collect()
}
