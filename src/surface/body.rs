//! The body of a request over HTTP, read whole, within its limit and its time.

use axum::{body::Body, http::StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;

use super::{meter::HEAD_BYTES, rpc::Shared};
use crate::{
    frame::{Pieces, is_deeper},
    memory::Hold,
    metrics::Refusal,
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
    #[error(
        "unfinished calls and unread answers fill {max} bytes, and this one has the most of them"
    )]
    NoMemory {
        /// How many bytes there are.
        max: usize,
    },
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
            Self::NoMemory { .. } => Refusal::Memory,
            Self::TooLong { .. } => Refusal::TooLarge,
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Cut | Self::Deep { .. } => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::NoMemory { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// Reads a body whole.
pub(super) async fn read(shared: &Shared, body: Body) -> Result<Bytes, Unread> {
    let limits = &shared.limits;
    let hold = shared.memory.hold();
    let reading = read_whole(body, limits.request_bytes.bytes(), hold);
    let read = timeout(limits.body_timeout, reading).await;
    let read = read.unwrap_or(Err(Unread::Late));
    let max = limits.depth;
    let read = read.and_then(|body| {
        let deep = is_deeper(&body, max);
        if deep {
            Err(Unread::Deep { max })
        } else {
            Ok(body)
        }
    });
    read.inspect_err(|unread| shared.hall.metrics.refuse(unread.refusal()))
}

async fn read_whole(mut body: Body, max: usize, mut hold: Hold) -> Result<Bytes, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let (mut whole, mut received) = (Pieces::default(), 0);
    while announced.max(received) <= MAX_DISCARDED_BYTES.max(max) {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            full = hold.rest(HEAD_BYTES + whole.held()) => {
                return Err(Unread::NoMemory { max: full.limit });
            }
        };
        match frame {
            None if received > max => break,
            None => return Ok(whole.take()),
            Some(Err(_)) => return Err(Unread::Cut),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                received += data.len();
                if received <= max {
                    whole.extend(&data);
                } else {
                    whole.clear();
                }
            }
        }
    }
    Err(Unread::TooLong { max })
}
