//! What a request's body has left unread when it is answered: the connection is closed behind such an
//! answer, and the answer says so.
//!
//! hyper goes on with what comes next as soon as the rest of the body is there, although the answer may
//! still wait for its peer; where no request comes next, hyper's own answer gets in before the end of
//! this one. And where the rest is not there yet, it closes the connection without having said so.

use std::{
    ops::Deref,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    BoxError,
    body::Body as AnyBody,
    extract::Request,
    http::{self, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body, and whether it was read to its end.
pub(super) struct Watched<B, R> {
    body: B,
    is_read: R,
}

/// Answers a request, as `ask` does.
pub(super) async fn answer<B, F>(
    request: http::Request<B>,
    ask: impl FnOnce(Request) -> F,
) -> Response
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    F: Future<Output = Response>,
{
    let is_read = Arc::new(AtomicBool::new(false));
    let watched = |body| AnyBody::new(Watched::new(body, Arc::clone(&is_read)));
    let answer = ask(request.map(watched)).await;
    // What follows on an upgrade is no request.
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        answer
    } else {
        closing_unless(&is_read, answer)
    }
}

/// Has the connection closed behind an answer to a body that was not read.
pub(super) fn closing_unless(is_read: &AtomicBool, answer: Response) -> Response {
    if is_read.load(Ordering::Relaxed) {
        answer
    } else {
        closing(answer)
    }
}

/// Has the connection closed behind an answer.
pub(super) fn closing(mut answer: Response) -> Response {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

impl<B: Body, R: Deref<Target = AtomicBool>> Watched<B, R> {
    /// Watches a body; `is_read` is set at its end.
    pub(super) fn new(body: B, is_read: R) -> Self {
        let watched = Self { body, is_read };
        watched.look();
        watched
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
    }
}

impl<B: Body + Unpin, R: Deref<Target = AtomicBool> + Unpin> Body for Watched<B, R> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(_) => self.look(),
            None => self.is_read.store(true, Ordering::Relaxed),
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
