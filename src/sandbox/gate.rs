//! What every request of the API passes: it is noted, may go wrong on demand, and is counted
//! against its bot's limits.
//!
//! It must not know a resource: behind it is the router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::sleep;
use tower_service::Service as _;

use super::control::Control;
use super::faults::{self, Act, Drop, Hang};
use super::line::Line;
use super::request::MAX_BODY_BYTES;
use super::routes::Peer;
use super::token::Caller;

/// The way to the router.
#[derive(Clone)]
pub(super) struct Gate {
    control: Arc<Control>,
    router: Router,
}

impl Gate {
    /// Puts the gate before a router.
    pub(super) fn new(control: Arc<Control>, router: Router) -> Self {
        Self { control, router }
    }

    /// Answers a request that came on this line from this peer.
    ///
    /// # Errors
    ///
    /// Never: what goes wrong is an answer, or the end of the line.
    pub(super) async fn answer(
        self,
        mut request: Request<Incoming>,
        line: Arc<Line>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, Infallible> {
        request.extensions_mut().insert(Peer(peer));
        let path = request.uri().path();
        if !path.starts_with("/api/") {
            return self.route(request.map(Body::new)).await;
        }
        let journal = &self.control.journal;
        if line.is_new() {
            journal.connected();
        }
        let method = request.method().as_str();
        let number = journal.came(method, path);
        let answer = match self.control.faults.take(method, path) {
            None => self.count(request.map(Body::new)).await?,
            Some(act) => {
                journal.faulted(number);
                let Some(answer) = self.wrong(&act, request, &line).await else {
                    // Nobody reads this: there is no line any more.
                    return Ok(Response::default());
                };
                answer
            }
        };
        journal.answered(number, answer.status().as_u16());
        Ok(answer)
    }

    /// Lets a request go wrong; none if its line was ended.
    async fn wrong(
        &self,
        act: &Act,
        request: Request<Incoming>,
        line: &Arc<Line>,
    ) -> Option<Response<Body>> {
        // Unread bytes would turn every end of the line into a reset.
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        sleep(act.delay()).await;
        if act.hang == Some(Hang::Head) {
            line.watch();
            line.closed().await;
            return None;
        }
        if act.drop == Some(Drop::Before) {
            line.hang_up(act.reset);
            line.closed().await;
            return None;
        }
        let mut answer = if let Some(answer) = act.answer() {
            answer
        } else {
            let request = Request::from_parts(parts, Body::from(body));
            self.count(request).await.ok()?
        };
        if act.drop == Some(Drop::After) {
            line.hang_up(act.reset);
            line.closed().await;
            return None;
        }
        act.add_headers(&mut answer);
        Some(faults::distorted(act, answer, Arc::clone(line)).await)
    }

    /// Asks the API, unless the bot has asked too often.
    async fn count(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let Some(limits) = &self.control.limits else {
            return self.route(request).await;
        };
        // Who is nobody has no limit here; Discord counts those by their address.
        let Some(Caller(user)) = Caller::find(&self.control.world, request.headers()) else {
            return self.route(request).await;
        };
        let (method, path) = (request.method().as_str(), request.uri().path());
        match limits.count(user.id(), method, path, Instant::now()) {
            Err(unlucky) => Ok(unlucky.into_response()),
            Ok(headers) => {
                let mut answer = self.route(request).await?;
                headers.add_to(answer.headers_mut());
                Ok(answer)
            }
        }
    }

    async fn route(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        self.router.clone().call(request).await
    }
}
