//! One request to Discord: sent once, its answer read whole and judged.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, client::conn::TrySendError};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Hop,
    passage::Slot,
    rate_limit,
    upstream::{AnswerBody, Upstream, innermost},
};
use crate::discord::{
    error::{Cause, Delivered, Error, Phase, Said, Scope, Unreadable},
    guard::Permit,
};

/// Largest answer that is read, in bytes. Discord's largest, the channels of a full guild, has
/// about one mebibyte.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// How much of an answer that is no success is read, in bytes; the rest is left.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// How long is waited for it.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// How long the head of an answer is waited for that nobody else waits for.
const HEAD_TIME: Duration = Duration::from_secs(3);

/// One request on its way.
pub(super) struct Attempt<'a> {
    hop: &'a Hop,
    slot: &'a Slot,
    /// When the request may be written at the latest.
    latest: Instant,
    phase: Phase,
    changes_something: bool,
}

/// What a successful answer is.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// What came of the body of an answer that is no success.
#[derive(Default)]
struct Refusal {
    bytes: BytesMut,
    is_whole: bool,
}

/// A request that was sent and has no answer yet. When nobody waits for it any more its head is
/// waited for a little longer, so that the guard does not miss a refusal.
struct Awaited<'a> {
    hop: &'a Hop,
    sent: Option<(ToHead, Upstream, Permit)>,
}

/// On the way to the head of an answer.
type ToHead = Pin<Box<dyn Future<Output = Head> + Send>>;

type Head = Result<Response<AnswerBody>, TrySendError<Request<Full<Bytes>>>>;

impl<'a> Attempt<'a> {
    pub(super) fn new(hop: &'a Hop, slot: &'a Slot, latest: Instant, method: &Method) -> Self {
        Self {
            hop,
            slot,
            latest,
            phase: Phase::Connecting,
            changes_something: !method.is_safe(),
        }
    }

    /// Carries out the request, but not beyond the call's time.
    pub(super) async fn run(
        mut self,
        request: Request<Full<Bytes>>,
        permit: Permit,
    ) -> Result<Answer, Error> {
        let deadline = self.slot.deadline;
        match timeout_at(deadline, self.send(request, permit)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut {
            phase: self.phase,
            delivered: self.delivered(match self.phase {
                Phase::Connecting => Delivered::No,
                Phase::Waiting => Delivered::Unknown,
                Phase::Reading(status) => delivered_by(status),
            }),
        }
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        permit: Permit,
    ) -> Result<Answer, Error> {
        let (mut upstream, response) = self.exchange(request, permit).await?;
        let status = response.status();
        self.phase = Phase::Reading(status.as_u16());
        let (head, body) = response.into_parts();
        if !status.is_success() {
            let body = self.read_refusal(body).await;
            if body.is_whole && upstream.ready().await {
                self.slot.keep_idle(upstream);
            }
            return Err(self.judge(status, &head.headers, &body.bytes));
        }
        let body = self.read(status, body).await?;
        if upstream.ready().await {
            self.slot.keep_idle(upstream);
        }
        Ok(Answer { status, body })
    }

    /// Sends on a connection of this call, or on a new one if that was closed meanwhile.
    async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
        permit: Permit,
    ) -> Result<(Upstream, Response<AnswerBody>), Error> {
        let mut permit = permit;
        if let Some(upstream) = self.slot.take_idle() {
            self.phase = Phase::Waiting;
            match self.ask(upstream, request, permit).await {
                Ok(answered) => return Ok(answered),
                Err((mut unsent, unused)) => match unsent.take_message() {
                    Some(back) => (request, permit) = (back, unused),
                    None => return Err(self.lost(unsent)),
                },
            }
        }
        self.phase = Phase::Connecting;
        let connecting = match self.slot.take_connecting() {
            Some(connecting) => connecting.await.ok(),
            None => None,
        };
        let connected = match connecting {
            Some(connected) => connected,
            None => self.hop.origin.connect().await,
        };
        let upstream = connected.map_err(|cause| self.unavailable(cause, Delivered::No))?;
        if Instant::now() > self.latest {
            return Err(self.timed_out());
        }
        self.phase = Phase::Waiting;
        let asked = self.ask(upstream, request, permit).await;
        asked.map_err(|(lost, _)| self.lost(lost))
    }

    /// Sends, and waits for the head of the answer, which the guard is told of.
    async fn ask(
        &self,
        mut upstream: Upstream,
        request: Request<Full<Bytes>>,
        permit: Permit,
    ) -> Result<(Upstream, Response<AnswerBody>), (TrySendError<Request<Full<Bytes>>>, Permit)>
    {
        let head = Box::pin(upstream.sender.try_send_request(request));
        let mut awaited = Awaited {
            hop: self.hop,
            sent: Some((head, upstream, permit)),
        };
        let head = awaited.head().await;
        let (_, upstream, permit) = awaited.sent.take().expect("only its end takes it");
        match head {
            Ok(response) => Ok((upstream, response)),
            Err(lost) => Err((lost, permit)),
        }
    }

    /// Reads the whole body of a success.
    async fn read(&self, status: StatusCode, mut body: AnswerBody) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| self.bad_answer(Unreadable::Cut, status))?;
            let data = frame.into_data().unwrap_or_default();
            if whole.len() + data.len() > MAX_ANSWER_BYTES {
                return Err(self.bad_answer(Unreadable::TooLarge, status));
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// Reads the beginning of any other body, as far as it comes soon: the head says the most.
    async fn read_refusal(&self, mut body: AnswerBody) -> Refusal {
        let mut read = Refusal::default();
        let soon = self.slot.deadline.min(Instant::now() + REFUSAL_TIME);
        while let Ok(frame) = timeout_at(soon, body.frame()).await {
            let Some(frame) = frame else {
                read.is_whole = true;
                break;
            };
            let data = frame.ok().and_then(|it| it.into_data().ok());
            let data = data.filter(|it| read.bytes.len() + it.len() <= MAX_REFUSAL_BYTES);
            let Some(data) = data else { break };
            read.bytes.extend_from_slice(&data);
        }
        read
    }

    /// Says what an answer is that is no success.
    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
        let said = || Said::read(status.as_u16(), body, &self.slot.token);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let limit = rate_limit::read(headers, body);
            if let (Scope::Cloudflare, Some(wait)) = (limit.scope, limit.retry_after) {
                self.hop.guard.ban(wait);
            }
            return Error::RateLimited {
                scope: limit.scope,
                retry_after: limit.retry_after,
                said: said(),
                delivered: Delivered::No,
            };
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Error::Unavailable {
                cause: Cause::Status(status.as_u16()),
                said: Some(said()),
                retry_after: rate_limit::retry_after(headers),
                delivered: self.delivered(Delivered::Unknown),
            };
        }
        if status.is_client_error() {
            return Error::Refused {
                said: said(),
                delivered: Delivered::No,
            };
        }
        self.bad_answer(Unreadable::Status, status)
    }

    fn bad_answer(&self, why: Unreadable, status: StatusCode) -> Error {
        Error::BadAnswer {
            why,
            status: status.as_u16(),
            delivered: self.delivered(delivered_by(status.as_u16())),
        }
    }

    fn lost(&self, lost: TrySendError<Request<Full<Bytes>>>) -> Error {
        let mut lost = lost;
        let delivered = match lost.take_message() {
            Some(_unsent) => Delivered::No,
            None => Delivered::Unknown,
        };
        self.unavailable(Cause::Lost(innermost(lost.error())), delivered)
    }

    fn unavailable(&self, cause: Cause, delivered: Delivered) -> Error {
        Error::Unavailable {
            cause,
            said: None,
            retry_after: None,
            delivered: self.delivered(delivered),
        }
    }

    /// A request that only reads delivers nothing.
    fn delivered(&self, delivered: Delivered) -> Delivered {
        if self.changes_something {
            delivered
        } else {
            Delivered::No
        }
    }
}

impl Awaited<'_> {
    async fn head(&mut self) -> Head {
        let (head, ..) = self.sent.as_mut().expect("only its end takes it");
        let head = head.await;
        if let (Ok(response), Some((.., permit))) = (&head, &self.sent) {
            answered(permit, response);
        }
        head
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let Some((head, upstream, permit)) = self.sent.take() else {
            return;
        };
        let rest = async move {
            if let Ok(Ok(response)) = timeout(HEAD_TIME, head).await {
                answered(&permit, &response);
            }
            drop(upstream);
        };
        // There is none when the process ends.
        if let Ok(runtime) = Handle::try_current() {
            self.hop.tracker.spawn_on(rest, &runtime);
        }
    }
}

fn answered(permit: &Permit, response: &Response<AnswerBody>) {
    let shared = rate_limit::is_shared(response.headers());
    permit.answered(response.status(), shared);
}

/// What a status alone tells of whether the request was carried out.
fn delivered_by(status: u16) -> Delivered {
    match status {
        200..=299 => Delivered::Yes,
        // A proxy's 408 does not tell whether it had passed the request on.
        408 | 500..=599 => Delivered::Unknown,
        _ => Delivered::No,
    }
}
