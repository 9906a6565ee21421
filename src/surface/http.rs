//! HTTP/1.1: one connection, on which requests come one after another.

use std::{convert::Infallible, error::Error as _, io, pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt;
use hyper::{
    Request as HyperRequest,
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;

pub use super::pages::{Pages, pages, pages_with};
use super::{
    MAX_SEATED_BYTES, Rpc, Visitor,
    alarm::Alarm,
    headers::EVENT_STREAM,
    meter::{Meter, NoMemory, Serving},
};
use crate::metrics::Refusal;

/// Most bytes of a request's head that are held, and of an answer that waits to be written.
const MAX_BUFFER_BYTES: usize = 8 << 10;
/// How long a connection with no call under way is given when the daemon stops.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves one connection until the peer is done, or `stop` is cancelled and its call is answered.
pub async fn serve<S>(
    stream: S,
    visitor: Arc<Visitor>,
    pages: Pages,
    rpc: Arc<Rpc>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let limits = &rpc.shared.limits;
    // hyper would wait for ever for a peer that does not read.
    let mut stream = TimeoutWriter::new(stream);
    stream.set_timeout(Some(limits.write_timeout));
    let (under_way, serving) = (Arc::new(()), Serving::default());
    let hold = rpc.shared.memory.hold();
    let stream = Meter::new(
        Box::pin(stream),
        hold,
        serving.clone(),
        visitor.seat.clone(),
    );
    let service = service_fn(|request: HyperRequest<Incoming>| {
        let (pages, serving, under_way) = (&pages, &serving, Arc::clone(&under_way));
        let visitor = Arc::clone(&visitor);
        serving.begin();
        async move {
            let response = answer(pages, visitor, request, serving).await;
            Ok::<_, Infallible>(held(response, under_way))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(Alarm::new(limits.header_timeout))
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(MAX_BUFFER_BYTES)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
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
        tell_failure(&rpc, &err);
    }
}

/// Answers a request, inside if it is short and no more are there than nearly everybody sends.
async fn answer(
    pages: &Pages,
    visitor: Arc<Visitor>,
    request: HyperRequest<Incoming>,
    serving: &Serving,
) -> Response {
    let announced = request.body().size_hint().lower();
    // Whoever upgrades comes with his first message.
    let asks = !request.headers().contains_key(header::UPGRADE);
    if asks && announced <= MAX_SEATED_BYTES as u64 && !serving.is_much() {
        visitor.seat.go_in().await;
    }
    let response = pages.answer(visitor, request).await;
    // What is upgraded has no more heads.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        serving.upgrade();
    } else {
        serving.end();
    }
    response
}

/// Counts why a connection ended early, if it was the daemon that ended it.
fn tell_failure(rpc: &Rpc, err: &hyper::Error) {
    let source = err.source().and_then(|it| it.downcast_ref::<io::Error>());
    if err.is_timeout() {
        rpc.metrics().refuse(Refusal::Late);
    } else if source.is_some_and(|it| it.kind() == io::ErrorKind::TimedOut) {
        rpc.metrics().refuse(Refusal::Unread);
    } else if source.is_some_and(NoMemory::is_why) {
        rpc.metrics().refuse(Refusal::Memory);
    }
    tracing::debug!(%err, "an HTTP connection ended early");
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

/// Writes an answer to a request that is not even read, for a connection that is closed behind it.
#[must_use]
pub fn forbidden(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

pub(super) fn json(status: StatusCode, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

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
