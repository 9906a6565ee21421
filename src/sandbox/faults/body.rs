//! Bodies that are not what their heads promise.
//!
//! It must not hold a long one in memory.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, Response};
use futures_util::stream::{self, StreamExt as _};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::super::line::Line;
use super::Hang;
use super::act::{Act, MAX_BODY};

/// Longest answer of the API that is read to be distorted, in bytes.
const MAX_REAL: usize = 64 << 20;
/// How long the first bytes have to be sent before a cut: with HTTP/2 another task sends them.
const CUT_PAUSE: Duration = Duration::from_millis(20);
/// The blanks that follow a body, again and again.
static BLANKS: [u8; 64 << 10] = [b' '; 64 << 10];

/// What follows the first bytes of a body.
enum Tail {
    /// So many blanks.
    Blanks(u64),
    /// The end of the connection.
    Cut,
    /// Nothing, until the peer closes the connection.
    Silence,
}

/// Does to the body of an answer what the fault says.
pub(in crate::sandbox) async fn distorted(
    act: &Act,
    answer: Response<Body>,
    line: Arc<Line>,
) -> Response<Body> {
    let is_silent = act.hang == Some(Hang::Body);
    if act.cut.is_none() && act.oversize.is_none() && !act.endless && !is_silent {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let real = axum::body::to_bytes(body, MAX_REAL).await;
    let mut first = real.unwrap_or_default();
    let length = first.len() as u64;
    let (promised, tail) = if let Some(cut) = act.cut {
        first.truncate(cut);
        (Some(length.max(cut as u64 + 1)), Tail::Cut)
    } else if let Some(size) = act.oversize {
        (
            Some(length.max(size)),
            Tail::Blanks(size.saturating_sub(length)),
        )
    } else if act.endless {
        (None, Tail::Blanks(MAX_BODY))
    } else {
        first.truncate(first.len() / 2);
        (Some(length.max(1)), Tail::Silence)
    };
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(promised) = promised {
        parts
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(promised));
    }
    Response::from_parts(parts, body_of(first, tail, line))
}

fn body_of(first: Bytes, tail: Tail, line: Arc<Line>) -> Body {
    let tail = stream::unfold((tail, line), |(tail, line)| async move {
        // What was given before is sent only once there is nothing to give.
        yield_now().await;
        match tail {
            Tail::Blanks(0) => None,
            Tail::Blanks(left) => {
                let chunk = usize::try_from(left).unwrap_or(usize::MAX);
                let blanks = Bytes::from_static(&BLANKS[..chunk.min(BLANKS.len())]);
                let left = left - blanks.len() as u64;
                Some((blanks, (Tail::Blanks(left), line)))
            }
            Tail::Cut => {
                sleep(CUT_PAUSE).await;
                line.hang_up(false);
                line.closed().await;
                None
            }
            Tail::Silence => {
                line.watch();
                line.closed().await;
                None
            }
        }
    });
    let first = stream::once(async move { first });
    Body::from_stream(first.chain(tail).map(Ok::<_, Infallible>))
}
