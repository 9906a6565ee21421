//! One request to Discord: sent once, its answer read whole and judged.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, client::conn::TrySendError};

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

/// One request on its way.
pub(super) struct Attempt<'a> {
    hop: &'a Hop,
    slot: &'a Slot,
    permit: &'a Permit<'a>,
    phase: Phase,
    changes_something: bool,
}

/// What a successful answer is.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        hop: &'a Hop,
        slot: &'a Slot,
        permit: &'a Permit<'a>,
        method: &Method,
    ) -> Self {
        Self {
            hop,
            slot,
            permit,
            phase: Phase::Connecting,
            changes_something: !method.is_safe(),
        }
    }

    /// Carries out the request, but not beyond the call's time.
    pub(super) async fn run(mut self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let deadline = self.slot.deadline;
        match tokio::time::timeout_at(deadline, self.send(request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut {
                phase: self.phase,
                delivered: self.delivered(match self.phase {
                    Phase::Connecting => Delivered::No,
                    Phase::Waiting => Delivered::Unknown,
                    Phase::Reading(status) => delivered_by(status),
                }),
            }),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let (mut upstream, response) = self.exchange(request).await?;
        let status = response.status();
        self.phase = Phase::Reading(status.as_u16());
        let (head, body) = response.into_parts();
        let shared = rate_limit::is_shared(&head.headers);
        self.permit.answered(status, shared);
        let body = self.read(status, body).await?;
        if upstream.ready().await {
            self.slot.keep_idle(upstream);
        }
        self.judge(status, &head.headers, body)
    }

    /// Sends on a connection of this call, or on a new one if that was closed meanwhile.
    async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(Upstream, Response<AnswerBody>), Error> {
        if let Some(mut upstream) = self.slot.take_idle() {
            self.phase = Phase::Waiting;
            match upstream.sender.try_send_request(request).await {
                Ok(response) => return Ok((upstream, response)),
                Err(mut unsent) => match unsent.take_message() {
                    Some(back) => request = back,
                    None => return Err(self.lost(unsent)),
                },
            }
        }
        self.phase = Phase::Connecting;
        let connected = self.hop.origin.connect().await;
        let mut upstream = connected.map_err(|cause| self.unavailable(cause, Delivered::No))?;
        self.phase = Phase::Waiting;
        match upstream.sender.try_send_request(request).await {
            Ok(response) => Ok((upstream, response)),
            Err(lost) => Err(self.lost(lost)),
        }
    }

    /// Reads the whole body of a success, or the beginning of any other.
    async fn read(&self, status: StatusCode, mut body: AnswerBody) -> Result<Bytes, Error> {
        let limit = if status.is_success() {
            MAX_ANSWER_BYTES
        } else {
            MAX_REFUSAL_BYTES
        };
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let why = match frame {
                Ok(frame) => {
                    let data = frame.into_data().unwrap_or_default();
                    if whole.len() + data.len() <= limit {
                        whole.extend_from_slice(&data);
                        continue;
                    }
                    Unreadable::TooLarge
                }
                Err(_) => Unreadable::Cut,
            };
            if status.is_success() {
                return Err(self.bad_answer(why, status));
            }
            break;
        }
        Ok(whole.freeze())
    }

    /// Tells a success from everything else that Discord says.
    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: Bytes) -> Result<Answer, Error> {
        if status.is_success() {
            return Ok(Answer { status, body });
        }
        let said = || Said::read(status.as_u16(), &body, &self.slot.token);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let limit = rate_limit::read(headers, &body);
            if let (Scope::Cloudflare, Some(wait)) = (limit.scope, limit.retry_after) {
                self.hop.guard.ban(wait);
            }
            return Err(Error::RateLimited {
                scope: limit.scope,
                retry_after: limit.retry_after,
                said: said(),
                delivered: Delivered::No,
            });
        }
        // A proxy's 408 does not tell whether it had passed the request on.
        if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT {
            return Err(Error::Refused {
                said: said(),
                delivered: Delivered::No,
            });
        }
        if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
            return Err(Error::Unavailable {
                cause: Cause::Status(status.as_u16()),
                said: Some(said()),
                retry_after: rate_limit::retry_after(headers),
                delivered: self.delivered(Delivered::Unknown),
            });
        }
        Err(self.bad_answer(Unreadable::Status, status))
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

/// What a status alone tells of whether the request was carried out.
fn delivered_by(status: u16) -> Delivered {
    match status {
        200..=299 => Delivered::Yes,
        500..=599 => Delivered::Unknown,
        _ => Delivered::No,
    }
}
