//! The body of a request over HTTP, read whole, within its limit and its time.

use std::{mem, task::Poll};

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use tokio::time::timeout;

use super::{meter::HEAD_BYTES, room::long_calls, rpc::Shared};
use crate::{
    frame::{Pieces, is_deeper},
    memory::{Full, Kept},
    metrics::Refusal,
    operation::Limit,
};

/// How much of a body that is too large is read and thrown away, in bytes: closing on unread input
/// would reset the connection, and the answer with it.
const MAX_DISCARDED_BYTES: usize = 16 << 20;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The connection ended within it.
    #[error("the body was cut")]
    Cut,
    /// It is nested too deep.
    #[error("the JSON is nested deeper than {max}")]
    Deep {
        /// How deep it may be.
        max: usize,
    },
    /// It did not come to its end in time.
    #[error("the rest of the body did not come in time")]
    Late,
    /// Others need the memory.
    #[error("{0}")]
    NoMemory(Limit),
    /// It is too long.
    #[error("the body is longer than {max} bytes")]
    TooLong {
        /// How long it may be.
        max: usize,
    },
}

impl Unread {
    fn refusal(self) -> Refusal {
        match self {
            Self::Cut => Refusal::Cut,
            Self::Deep { .. } => Refusal::ParseError,
            Self::Late => Refusal::Late,
            Self::NoMemory(_) => Refusal::Memory,
            Self::TooLong { .. } => Refusal::TooLarge,
        }
    }

    fn memory(full: Full) -> Self {
        let limit = full.limit;
        Self::NoMemory(Limit::Memory { limit })
    }

    fn long(full: Full) -> Self {
        Self::NoMemory(long_calls(full))
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Cut | Self::Deep { .. } => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::NoMemory(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// A body, and the room that it has as long as its call is under way.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) kept: Kept,
}

/// Reads a body whole.
pub(super) async fn read<B>(shared: &Shared, mut body: B) -> Result<Whole, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    // What the look takes is announced no more.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let look = body.frame().now_or_never();
    let read = match look.map_or(Poll::Pending, Poll::Ready) {
        // It came with its head, as nearly every body does: it needs no clock, and is not copied.
        Poll::Ready(Some(Ok(frame))) if body.is_end_stream() && is_short(shared, &frame) => {
            Ok(frame.into_data().unwrap_or_default())
        }
        first @ (Poll::Ready(_) | Poll::Pending) => {
            let read = read_whole(shared, body, announced, first);
            let read = timeout(shared.limits.body_timeout, read).await;
            read.unwrap_or(Err(Unread::Late))
        }
    };
    let read = read.and_then(|bytes| {
        let max = shared.limits.depth;
        if is_deeper(&bytes, max) {
            return Err(Unread::Deep { max });
        }
        let mut kept = shared.memory.kept();
        kept.grow(bytes.len()).map_err(Unread::long)?;
        Ok(Whole { bytes, kept })
    });
    read.inspect_err(|unread| shared.hall.metrics.refuse(unread.refusal()))
}

fn is_short(shared: &Shared, frame: &Frame<Bytes>) -> bool {
    let max = shared.limits.request_bytes.bytes();
    frame.data_ref().is_some_and(|data| data.len() <= max)
}

/// Reads a body that is at least as long as `announced`, and of which a look has found `first`.
async fn read_whole<B>(
    shared: &Shared,
    mut body: B,
    announced: usize,
    mut first: Poll<Option<Result<Frame<Bytes>, B::Error>>>,
) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut hold = shared.memory.hold();
    let max = shared.limits.request_bytes.bytes();
    let (mut whole, mut received) = (Pieces::default(), 0);
    while announced.max(received) <= MAX_DISCARDED_BYTES.max(max) {
        let frame = match mem::replace(&mut first, Poll::Pending) {
            Poll::Ready(frame) => frame,
            Poll::Pending => tokio::select! {
                biased;
                frame = body.frame() => frame,
                full = hold.rest(HEAD_BYTES + whole.held()) => {
                    return Err(Unread::memory(full));
                }
            },
        };
        match frame {
            None if received > max => break,
            None => return Ok(whole.take_all()),
            Some(Err(_)) => return Err(Unread::Cut),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                received += data.len();
                if received <= max {
                    whole.extend(&data);
                    hold.grow(HEAD_BYTES + whole.held())
                        .map_err(Unread::memory)?;
                } else {
                    whole.clear();
                }
            }
        }
    }
    Err(Unread::TooLong { max })
}
