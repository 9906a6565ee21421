//! WebSocket: the handshake, and then one JSON-RPC text in each message.
//! See <https://www.rfc-editor.org/rfc/rfc6455#section-4.2>.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tungstenite::handshake::derive_accept_key;

use super::{Caller, Rpc, stream};
use crate::{frame::Messages, metrics::Framing};

/// The one version of the protocol there is.
const VERSION: &str = "13";

/// Answers a request to speak WebSocket, and speaks it when the answer is out.
pub(super) fn upgrade(
    rpc: Arc<Rpc>,
    mut request: Request,
    caller: Caller,
    stop: CancellationToken,
) -> Response {
    let headers = request.headers();
    if !names(headers, &header::CONNECTION, "upgrade")
        || !names(headers, &header::UPGRADE, "websocket")
    {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    if !names(headers, &header::SEC_WEBSOCKET_VERSION, VERSION) {
        let version = [(header::SEC_WEBSOCKET_VERSION, VERSION)];
        return (StatusCode::UPGRADE_REQUIRED, version).into_response();
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let accept = accept.and_then(|accept| HeaderValue::try_from(accept).ok());
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(accept), Some(upgrade)) = (accept, upgrade) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let (tracker, seat) = (rpc.shared.tracker.clone(), caller.visitor.seat.clone());
    seat.spawn(&tracker, async move {
        match upgrade.await {
            Ok(upgraded) => {
                caller.visitor.speaks(Framing::Websocket);
                let upgraded = TokioIo::new(upgraded);
                stream::serve(upgraded, Messages::new, rpc, caller, stop).await;
            }
            Err(err) => tracing::debug!(%err, "a WebSocket ended before it began"),
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response()
}

/// Whether a header, which may be a list, has this member.
fn names(headers: &HeaderMap, header: &HeaderName, member: &str) -> bool {
    let values = headers.get_all(header).into_iter();
    let mut members = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    members.any(|it| it.trim().eq_ignore_ascii_case(member))
}
