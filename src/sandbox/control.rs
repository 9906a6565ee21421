//! The sandbox's own paths, for callers on this machine only: what came, and what shall go wrong.
//!
//! It must not answer for the API.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Extension, FromRequestParts, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Error;
use super::faults::Faults;
use super::journal::{Journal, Request, Stats};
use super::limits::Limits;
use super::routes::Peer;
use super::world::World;

/// What stands beside the world.
pub(super) struct Control {
    pub(super) world: Arc<World>,
    pub(super) journal: Journal,
    pub(super) faults: Faults,
    /// None where nothing is limited.
    pub(super) limits: Option<Limits>,
}

impl Control {
    /// Makes it for a world.
    pub(super) fn new(world: Arc<World>, is_limited: bool) -> Self {
        Self {
            world,
            journal: Journal::default(),
            faults: Faults::default(),
            limits: is_limited.then(Limits::default),
        }
    }
}

/// Makes the router of these paths.
pub(super) fn router(control: Arc<Control>) -> Router<Arc<World>> {
    Router::new()
        .route("/_sandbox/stats", get(stats))
        .route("/_sandbox/requests", get(requests))
        .route("/_sandbox/faults", post(add_faults).delete(clear_faults))
        .with_state(control)
}

/// A caller on this machine; for all others these paths do not exist.
struct Local;

impl<S: Send + Sync> FromRequestParts<S> for Local {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let peer = Extension::<Peer>::from_request_parts(parts, state).await;
        match peer {
            Ok(Extension(Peer(peer))) if peer.ip().to_canonical().is_loopback() => Ok(Self),
            Ok(_) | Err(_) => Err(Error::NotFound),
        }
    }
}

/// `GET /_sandbox/stats`
async fn stats(_: Local, State(control): State<Arc<Control>>) -> Json<Stats> {
    let messages = control.world.messages.load(Ordering::Relaxed);
    Json(control.journal.stats(messages))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

/// `GET /_sandbox/requests?since=N`
async fn requests(
    _: Local,
    State(control): State<Arc<Control>>,
    Query(query): Query<Since>,
) -> Json<Vec<Request>> {
    Json(control.journal.since(query.since))
}

/// `POST /_sandbox/faults`
async fn add_faults(
    _: Local,
    State(control): State<Arc<Control>>,
    body: String,
) -> (StatusCode, Json<Value>) {
    let refused = |message: String| {
        let body = json!({ "message": message });
        (StatusCode::BAD_REQUEST, Json(body))
    };
    // Read as a list, so that an error names the field and not all that a list could be.
    let rules = match serde_json::from_str::<Value>(&body) {
        Ok(rules @ Value::Array(_)) => serde_json::from_value(rules),
        Ok(rule) => serde_json::from_value(json!([rule])),
        Err(err) => Err(err),
    };
    let added = match rules {
        Ok(rules) => control.faults.add(rules),
        Err(err) => Err(err.to_string()),
    };
    match added {
        Ok(rules) => (StatusCode::OK, Json(json!({ "rules": rules }))),
        Err(message) => refused(message),
    }
}

/// `DELETE /_sandbox/faults`
async fn clear_faults(_: Local, State(control): State<Arc<Control>>) -> StatusCode {
    control.faults.clear();
    StatusCode::NO_CONTENT
}
