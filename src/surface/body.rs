//! The body of a request over HTTP, read whole, within its limit and its time.

use axum::{body::Body, http::StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;

use super::rpc::Shared;
use crate::{frame::is_deeper, metrics::Refusal};

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
            Self::TooLong { .. } => Refusal::TooLarge,
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Cut | Self::Deep { .. } => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

/// Reads a body whole.
pub(super) async fn read(shared: &Shared, body: Body) -> Result<Bytes, Unread> {
    let limits = &shared.limits;
    let reading = read_whole(body, limits.request_bytes.bytes());
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

async fn read_whole(mut body: Body, max: usize) -> Result<Bytes, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let (mut whole, mut received) = (BytesMut::new(), 0);
    while announced.max(received) <= MAX_DISCARDED_BYTES.max(max) {
        match body.frame().await {
            None if received > max => break,
            None => return Ok(whole.freeze()),
            Some(Err(_)) => return Err(Unread::Cut),
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
    Err(Unread::TooLong { max })
}
