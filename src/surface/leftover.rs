//! What a request's body has left unread when it is answered: the connection is closed behind such an
//! answer, and the answer says so.
//!
//! hyper goes on with what comes next as soon as the rest of the body is there, although the answer may
//! still wait for its peer; where no request comes next, hyper's own answer gets in before the end of
//! this one. And where the rest is not there yet, it closes the connection without having said so.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::Body as AnyBody,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use hyper::{
    Request as HyperRequest,
    body::{Body, Frame, Incoming, SizeHint},
};

/// A body, and whether it was read to its end.
struct Watched {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

/// Answers a request, as `ask` does.
pub(super) async fn answer<F: Future<Output = Response>>(
    request: HyperRequest<Incoming>,
    ask: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return ask(request.map(AnyBody::new)).await;
    }
    let is_read = Arc::new(AtomicBool::new(false));
    let watched = request.map(|body| {
        AnyBody::new(Watched {
            body,
            is_read: Arc::clone(&is_read),
        })
    });
    let answer = ask(watched).await;
    // What follows on an upgrade is no request.
    let may_go_on =
        is_read.load(Ordering::Relaxed) || answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if may_go_on { answer } else { closing(answer) }
}

/// Has the connection closed behind an answer.
pub(super) fn closing(mut answer: Response) -> Response {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
