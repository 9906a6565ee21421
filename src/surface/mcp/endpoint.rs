//! MCP over HTTP: Streamable HTTP without sessions, one POST for each message.
//!
//! Who may ask at all is decided before: `Host` and `Origin` are for the doors to check.

use std::{pin::Pin, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::Full;
use rmcp::{
    ServerHandler,
    model::JsonRpcError,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};

use super::{Desk, Offer, message};
use crate::{
    operation::Error,
    surface::{Rpc, body::Unread},
};

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Answers requests of MCP's.
#[derive(Clone)]
pub struct Endpoint(Arc<dyn Fn(Request<Full<Bytes>>) -> Answer + Send + Sync>);

impl Endpoint {
    /// Makes one that gives each request to what `handler` makes for it.
    pub fn new<H: ServerHandler>(handler: impl Fn() -> H + Send + Sync + 'static) -> Self {
        // A body comes here whole and within the limits of the door.
        let settings = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(usize::MAX);
        let sessions = Arc::new(NeverSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(handler()), sessions, settings);
        Self(Arc::new(move |request| {
            let service = service.clone();
            Box::pin(async move { service.handle(request).await.map(Body::new) })
        }))
    }

    /// Makes one that offers the operations, each request being its own caller.
    #[must_use]
    pub fn of(rpc: Arc<Rpc>, offer: Offer) -> Self {
        let desk = Desk::new(rpc, offer, None, None);
        Self::new(move || desk.clone())
    }

    /// Answers a request whose body could not be read.
    pub(in crate::surface) fn answer_unread(unread: Unread) -> Response {
        let why = unread.to_string();
        let error = match unread {
            Unread::Cut | Unread::Deep { .. } | Unread::Late => message::unreadable(&why),
            Unread::NoMemory(limit) => message::limited(&Error::Limited(limit)),
            Unread::TooLong { .. } => message::invalid(None, &why),
        };
        refuse(unread.status(), &error)
    }

    /// Answers a request whose body has been read.
    pub(in crate::surface) async fn answer(&self, mut head: Parts, body: Bytes) -> Response {
        if head.method == Method::POST {
            let read = message::read(&body);
            let refused = read.and_then(|it| message::refuse_version(&head.headers, &it));
            if let Err(error) = refused {
                return refuse(StatusCode::BAD_REQUEST, &error);
            }
        }
        // rmcp takes loopback names only, and callers on sockets name what they like.
        let host = HeaderValue::from_static("localhost");
        head.headers.insert(header::HOST, host);
        self.0(Request::from_parts(head, Full::new(body))).await
    }
}

fn refuse(status: StatusCode, error: &JsonRpcError) -> Response {
    let json = serde_json::to_string(error).expect("texts and numbers are JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}
