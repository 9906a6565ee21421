//! HTTP/1.1: `POST /` is JSON-RPC, an upgrade of it is WebSocket, `/mcp` is MCP, and a few pages
//! tell how the daemon is.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Extension, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    Request as HyperRequest,
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Caller, Rpc, Visitor,
    document::{invalid_request, parse_error},
    mcp::{Endpoint, Offer},
    rpc::discovered,
    websocket,
};
use crate::{
    discord::{InvalidToken, Token},
    metrics::CONTENT_TYPE,
};

/// Most bytes of a request's head that are held, and of an answer that waits to be written.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// What a stream of events is called.
const EVENT_STREAM: &str = "text/event-stream";
/// How much of a body that is too large is read and thrown away, in bytes: closing on unread input
/// would reset the connection, and the answer with it.
const MAX_DISCARDED_BYTES: usize = 16 << 20;
/// How long a connection with no call under way is given when the daemon stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the pages share.
#[derive(Clone)]
struct Site {
    rpc: Arc<Rpc>,
    mcp: Endpoint,
    stop: CancellationToken,
}

impl Site {
    fn caller(&self, visitor: Visitor, headers: &HeaderMap) -> Caller {
        let calls = self.rpc.shared.limits.calls_per_connection;
        Caller::new(visitor, calls, token(headers))
    }
}

/// The pages there are. Web sockets end when `stop` is cancelled.
pub fn router(rpc: Arc<Rpc>, stop: CancellationToken) -> Router {
    let mcp = Endpoint::of(Arc::clone(&rpc), Offer::default());
    router_with(rpc, mcp, stop)
}

/// The pages there are, with these tools for agents.
pub fn router_with(rpc: Arc<Rpc>, mcp: Endpoint, stop: CancellationToken) -> Router {
    Router::new()
        .route("/", get(upgrade).post(call).delete(ask_mcp))
        .route("/health", get(health))
        .route("/livez", get(async || StatusCode::OK))
        .route("/mcp", any(ask_mcp))
        .route("/metrics", get(metrics))
        .route("/openrpc.json", get(openrpc))
        .route("/readyz", get(ready))
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(Site { rpc, mcp, stop })
}

/// Serves one connection until the peer is done, or `stop` is cancelled and its call is answered.
pub async fn serve<S>(
    stream: S,
    visitor: Visitor,
    router: Router,
    rpc: Arc<Rpc>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let limits = &rpc.shared.limits;
    // hyper would wait for ever for a peer that does not read.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.body_timeout));
    let under_way = Arc::new(());
    let service = service_fn(|mut request: HyperRequest<Incoming>| {
        let (router, under_way) = (router.clone(), Arc::clone(&under_way));
        request.extensions_mut().insert(visitor.clone());
        async move {
            let answer = router.oneshot(request).await;
            answer.map(|response| held(response, under_way))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(MAX_BUFFER_BYTES)
            .half_close(true)
            .serve_connection(TokioIo::new(Box::pin(stream)), service)
            .with_upgrades()
    );
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            loop {
                match timeout(GOODBYE, connection.as_mut()).await {
                    Ok(served) => break served,
                    Err(_) if Arc::strong_count(&under_way) > 1 => {}
                    // Half a request, or an answer that nobody reads.
                    Err(_) => return,
                }
            }
        }
    };
    if let Err(err) = served {
        tracing::debug!(%err, "an HTTP connection ended early");
    }
}

/// Keeps a call under way as long as its answer is a stream that goes on.
fn held(response: Response, under_way: Arc<()>) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != EVENT_STREAM) {
        return response;
    }
    response.map(|body| {
        let held = body.map_frame(move |frame| {
            // It is dropped with this, and this with the body.
            let _ = &under_way;
            frame
        });
        Body::new(held)
    })
}

async fn call(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    if takes_event_stream(request.headers()) {
        return ask_mcp(State(site), Extension(visitor), request).await;
    }
    let (head, body) = request.into_parts();
    if let Some(refused) = refuse_web_page(&head.headers) {
        return refused;
    }
    if !is_json(&head.headers) {
        let why = invalid_request("null", "the content-type is application/json");
        return json(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
    }
    let body = match read(&site.rpc, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let caller = site.caller(visitor, &head.headers);
    match site.rpc.answer(&body, &caller).await {
        Some(answer) => json(StatusCode::OK, answer),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Answers a message of MCP's.
async fn ask_mcp(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    let (mut head, body) = request.into_parts();
    if let Some(refused) = refuse_web_page(&head.headers) {
        return refused;
    }
    let body = match read(&site.rpc, body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let caller = site.caller(visitor, &head.headers);
    head.extensions.insert(caller);
    site.mcp.answer(head, body).await
}

async fn upgrade(
    State(site): State<Site>,
    Extension(visitor): Extension<Visitor>,
    request: Request,
) -> Response {
    if takes_event_stream(request.headers()) {
        return ask_mcp(State(site), Extension(visitor), request).await;
    }
    if let Some(refused) = refuse_web_page(request.headers()) {
        return refused;
    }
    let caller = site.caller(visitor, request.headers());
    websocket::upgrade(site.rpc, request, caller, site.stop)
}

async fn health(State(site): State<Site>, Extension(visitor): Extension<Visitor>) -> Response {
    match site.rpc.local("health", visitor.peer).await {
        Some(health) => json(StatusCode::OK, String::from(Box::<str>::from(health))),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ready(State(site): State<Site>) -> StatusCode {
    if site.rpc.shared.hall.metrics.draining() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

async fn metrics(State(site): State<Site>) -> Response {
    let text = site.rpc.shared.hall.metrics.text();
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

async fn openrpc() -> Response {
    json(StatusCode::OK, discovered().get().to_owned())
}

/// A page in a browser may be anybody's: what says that it comes from one is not taken.
fn refuse_web_page(headers: &HeaderMap) -> Option<Response> {
    let why = "calls from web pages are not taken";
    let of_page = headers.contains_key(header::ORIGIN);
    of_page.then(|| json(StatusCode::FORBIDDEN, invalid_request("null", why)))
}

/// Reads a body whole, within its limit and its time.
async fn read(rpc: &Rpc, body: Body) -> Result<Bytes, Response> {
    let limits = &rpc.shared.limits;
    let reading = read_whole(body, limits.request_bytes.bytes());
    if let Ok(read) = timeout(limits.body_timeout, reading).await {
        return read;
    }
    let why = parse_error("the rest of the body did not come in time");
    Err(json(StatusCode::REQUEST_TIMEOUT, why))
}

async fn read_whole(mut body: Body, max: usize) -> Result<Bytes, Response> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let (mut whole, mut received) = (BytesMut::new(), 0);
    while announced.max(received) <= MAX_DISCARDED_BYTES.max(max) {
        match body.frame().await {
            None if received > max => break,
            None => return Ok(whole.freeze()),
            Some(Err(_)) => {
                let why = parse_error("the body was cut");
                return Err(json(StatusCode::BAD_REQUEST, why));
            }
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                received += data.len();
                if received <= max {
                    whole.extend_from_slice(&data);
                } else {
                    whole = BytesMut::new();
                }
            }
        }
    }
    let why = format!("the body is longer than {max} bytes");
    let why = invalid_request("null", &why);
    Err(json(StatusCode::PAYLOAD_TOO_LARGE, why))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// Whether the client speaks MCP: clients of MCP must take a stream of events, those of JSON-RPC
/// have no use for one.
fn takes_event_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|it| it.to_str().ok());
    let mut kinds = accepted.flat_map(|it| it.split([',', ';']));
    kinds.any(|it| it.trim().eq_ignore_ascii_case(EVENT_STREAM))
}

/// The token in the `Authorization` header, if there is one.
fn token(headers: &HeaderMap) -> Option<Result<Token, InvalidToken>> {
    let header = headers.get(header::AUTHORIZATION)?;
    Some(Token::from_header(header.as_bytes()))
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_under_way_until_its_stream_is_dropped() {
        let call = Arc::new(());
        let of_kind = |kind| ([(header::CONTENT_TYPE, kind)], "").into_response();
        let stream = held(of_kind(EVENT_STREAM), Arc::clone(&call));
        let whole = held(of_kind("application/json"), Arc::clone(&call));
        assert_eq!(Arc::strong_count(&call), 2);
        drop(stream);
        assert_eq!(Arc::strong_count(&call), 1);
        drop(whole);
    }
}
