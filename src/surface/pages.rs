//! The pages over HTTP: `POST /` is JSON-RPC, an upgrade of it is WebSocket, `/mcp` is MCP, three paths
//! are the REST API of the service this replaces, and a few tell how the daemon is.

use std::sync::{Arc, atomic::AtomicBool};

use axum::{
    BoxError, Router,
    extract::{Extension, Request, State},
    http::{self, HeaderMap, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use bytes::Bytes;
use hyper::body::Body;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    Caller, Rpc, SECRET, Traceparent, TurnedAway, Visitor, Web,
    answer::{self, invalid_request, parse_error},
    body::{self, Unread, Whole},
    headers::{is_json, takes_event_stream, token},
    http::json,
    leftover::{self, Watched, closing, closing_unless},
    mcp::{Endpoint, Offer},
    rest,
    room::Room,
    web::{let_in, show},
    websocket,
};
use crate::{
    discord::Peer,
    metrics::{Format, Framing, GuardFigures, Refusal},
    operation::{Entry, Error, Secret},
};

/// What whoever asks for something else is told.
const NO_PATH: &str = "there is no such path";
/// What whoever sends something else is told.
const ONLY_JSON: &str = "the content-type is application/json";

/// What the pages share.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) rpc: Arc<Rpc>,
    mcp: Endpoint,
    pub(super) stop: CancellationToken,
}

impl Site {
    pub(super) fn caller(&self, visitor: Arc<Visitor>, headers: &HeaderMap) -> Caller {
        let calls = self.rpc.shared.limits.calls_per_connection;
        let secret = headers.get(SECRET);
        Caller {
            secret: secret.map(|secret| Secret::of(secret.as_bytes())),
            traceparent: Traceparent::of(headers),
            ..Caller::new(visitor, Framing::Http, calls, token(headers))
        }
    }
}

/// The pages there are, and the way to the one that nearly all requests come to.
#[derive(Clone)]
pub struct Pages {
    router: Router,
    doors: Arc<(Web, Site)>,
}

impl Pages {
    /// Answers a request. A call of JSON-RPC goes past the router: finding its page there costs a good
    /// part of it.
    pub async fn answer<B>(&self, visitor: Arc<Visitor>, request: http::Request<B>) -> Response
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        if is_call(&request) {
            return self.call(visitor, request).await;
        }
        let ask = async |mut request: Request| {
            request.extensions_mut().insert(visitor);
            let answered = self.router.clone().oneshot(request).await;
            answered.unwrap_or_else(|never| match never {})
        };
        // Boxed, so that a call is no larger for it.
        Box::pin(leftover::answer(request, ask)).await
    }

    async fn call<B>(&self, visitor: Arc<Visitor>, request: http::Request<B>) -> Response
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let is_read = AtomicBool::new(false);
        let body = Watched::new(body, &is_read);
        let answer = match let_in(&self.doors, visitor, &head).await {
            Ok(caller) => call(&self.doors.1, caller, &head.headers, body).await,
            Err(kept_out) => kept_out,
        };
        let origin = self.doors.0.named_origin(&head.headers);
        closing_unless(&is_read, show(answer, origin))
    }
}

/// Whether a request is JSON-RPC.
fn is_call<B>(request: &http::Request<B>) -> bool {
    request.method() == Method::POST
        && request.uri().path() == "/"
        && !takes_event_stream(request.headers())
}

/// The pages there are. Web sockets end when `stop` is cancelled.
#[must_use]
pub fn pages(rpc: Arc<Rpc>, web: Web, stop: CancellationToken) -> Pages {
    let mcp = Endpoint::of(Arc::clone(&rpc), Offer::default());
    pages_with(rpc, mcp, web, stop)
}

/// The pages there are, with these tools for agents.
#[must_use]
pub fn pages_with(rpc: Arc<Rpc>, mcp: Endpoint, web: Web, stop: CancellationToken) -> Pages {
    let doors = Arc::new((web, Site { rpc, mcp, stop }));
    let router = router(&doors);
    Pages { router, doors }
}

/// The way to every page but JSON-RPC.
fn router(doors: &Arc<(Web, Site)>) -> Router {
    let site = doors.1.clone();
    let mut router = Router::new();
    for (path, name) in rest::PATHS {
        let entry = rest::entry(name);
        let ask = move |site, caller, request| ask_rest(site, caller, request, entry);
        router = router.route(path, post(ask));
    }
    router
        .route("/", get(upgrade).post(ask_mcp))
        .route("/health", get(health))
        .route("/mcp", any(ask_mcp))
        .route("/metrics", get(metrics))
        .route("/openrpc.json", get(openrpc))
        .route_layer(from_fn_with_state(Arc::clone(doors), pass))
        .route("/livez", get(async || StatusCode::OK))
        .route("/readyz", get(ready))
        .fallback(async || rest::refuse(StatusCode::NOT_FOUND, NO_PATH))
        .with_state(site)
}

/// Lets a request pass on to its page, unless it is kept out.
async fn pass(
    State(doors): State<Arc<(Web, Site)>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let origin = doors.0.named_origin(&head.headers);
    let answer = match let_in(&doors, visitor, &head).await {
        Ok(caller) => {
            head.extensions.insert(caller);
            next.run(Request::from_parts(head, body)).await
        }
        Err(kept_out) => kept_out,
    };
    show(answer, origin)
}

async fn call<B>(site: &Site, caller: Caller, headers: &HeaderMap, body: B) -> Response
where
    B: Body<Data = Bytes> + Unpin,
{
    if !is_json(headers) {
        site.rpc.metrics().refuse(Refusal::ContentType);
        let why = invalid_request("null", ONLY_JSON);
        return json(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    // What is wrong with a text is told in the answer to it.
    let body = match read(&site.rpc, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let (caller, room) = (Arc::new(caller), Room::of(body.kept));
    let answer = site.rpc.answer(&body.bytes, &caller, room).await;
    match (answer, &caller.visitor.turned_away) {
        (Some(answer), Some(turned_away)) if turned_away.over.is_cancelled() => {
            turn_away(turned_away, answer)
        }
        (Some(answer), _) => json(StatusCode::OK, answer),
        (None, _) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Answers on a connection that there is no place for.
fn turn_away(turned_away: &TurnedAway, why: String) -> Response {
    let wait = turned_away.error().details().retry_after_secs();
    rest::told_to_wait(closing(json(StatusCode::SERVICE_UNAVAILABLE, why)), wait)
}

/// Answers as the service that this one replaces.
async fn ask_rest(
    State(site): State<Site>,
    Extension(mut caller): Extension<Caller>,
    request: Request,
    entry: &'static Entry,
) -> Response {
    let (head, body) = request.into_parts();
    let says_nothing = body.is_end_stream() && !head.headers.contains_key(header::CONTENT_TYPE);
    if !says_nothing && !is_json(&head.headers) {
        site.rpc.metrics().refuse(Refusal::ContentType);
        return rest::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, ONLY_JSON);
    }
    match body::read(&site.rpc.shared, body).await {
        Ok(body) => {
            caller.framing = Framing::Rest;
            rest::answer(&site.rpc, entry, &body.bytes, &caller).await
        }
        Err(Unread::NoMemory(limit)) => closing(rest::failed(&Error::Limited(limit))),
        Err(unread) => rest::refuse(unread.status(), &unread.to_string()),
    }
}

/// Answers a message of MCP's.
async fn ask_mcp(State(site): State<Site>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    // A page may send any other kind without being asked, and no body is read for that.
    if head.method == Method::POST && !is_json(&head.headers) {
        site.rpc.metrics().refuse(Refusal::ContentType);
        let why = invalid_request("null", ONLY_JSON);
        return json(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    let body = match body::read(&site.rpc.shared, body).await {
        Ok(body) => body,
        Err(unread @ Unread::NoMemory(_)) => return closing(Endpoint::answer_unread(unread)),
        Err(unread) => return Endpoint::answer_unread(unread),
    };
    if let Some(caller) = head.extensions.get_mut::<Caller>() {
        caller.framing = Framing::Mcp;
    }
    site.mcp.answer(head, body.bytes).await
}

async fn upgrade(
    State(site): State<Site>,
    Extension(mut caller): Extension<Caller>,
    request: Request,
) -> Response {
    if takes_event_stream(request.headers()) {
        return ask_mcp(State(site), request).await;
    }
    if let Some(turned_away) = &caller.visitor.turned_away {
        return turn_away(turned_away, answer::error(&turned_away.error()));
    }
    caller.framing = Framing::Websocket;
    websocket::upgrade(site.rpc, request, caller, site.stop)
}

async fn health(State(site): State<Site>, Extension(caller): Extension<Caller>) -> Response {
    match site.rpc.local(rest::entry("health"), &caller).await {
        Ok(health) => json(StatusCode::OK, health),
        Err(error) => rest::failed(&error),
    }
}

async fn ready(State(site): State<Site>) -> StatusCode {
    if site.rpc.shared.hall.metrics.draining() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let hall = &site.rpc.shared.hall;
    let guard = hall.exit.guard(Peer::Own);
    let guard = GuardFigures {
        counted: guard.counted,
        limit: guard.limit,
        banned_for: guard.banned_for,
    };
    let accepted = headers.get_all(header::ACCEPT).iter();
    let format = Format::asked_for(accepted.filter_map(|it| it.to_str().ok()));
    let kind = [(header::CONTENT_TYPE, format.content_type())];
    (kind, hall.metrics.text(guard, format)).into_response()
}

async fn openrpc(State(site): State<Site>, Extension(caller): Extension<Caller>) -> Response {
    match site.rpc.shared.discover(None, Some(&caller)) {
        Ok(document) => json(StatusCode::OK, document),
        Err(error) => rest::failed(&error),
    }
}

/// Reads a body, or says in JSON-RPC why not. What is nested too deep came whole: it is answered as
/// any text that is no call.
async fn read<B>(rpc: &Rpc, body: B) -> Result<Whole, Response>
where
    B: Body<Data = Bytes> + Unpin,
{
    let read = body::read(&rpc.shared, body).await;
    read.map_err(|unread| {
        let why = unread.to_string();
        match unread {
            Unread::Cut | Unread::Late => json(unread.status(), parse_error(&why)),
            Unread::Deep { .. } => json(StatusCode::OK, parse_error(&why)),
            Unread::NoMemory(limit) => {
                let error = Error::Limited(limit);
                let wait = error.details().retry_after_secs();
                let answer = closing(json(unread.status(), answer::error(&error)));
                rest::told_to_wait(answer, wait)
            }
            Unread::TooLong { .. } => json(unread.status(), invalid_request("null", &why)),
        }
    })
}
