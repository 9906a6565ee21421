//! A request until it has its answer: sent again where that helps and cannot do a thing twice.
//!
//! It must not wait when the call's time will not suffice: then the caller is told at once how long
//! Discord asks to wait.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::{
    Hop,
    attempt::{Answer, Attempt},
    passage::Slot,
    seen,
};
use crate::discord::{
    error::{Cause, Delivered, Error, Guarded, Said, Scope, Unreadable},
    guard::Permit,
    progress::Wait,
};

/// First wait where Discord asks for none; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// What a wait must leave of the call's time, so that another attempt makes sense.
const LEAST_TIME: Duration = Duration::from_millis(250);
/// How long Discord is trusted to know a nonce: its documentation says "the past few minutes".
const NONCE_KNOWN: Duration = Duration::from_secs(120);

/// A request, and what has become of it so far.
struct Errand<'a> {
    hop: &'a Hop,
    slot: &'a Slot,
    repeatable: bool,
    /// How often it was sent.
    sent: usize,
    /// What the attempts may have done.
    done: Delivered,
    /// When the last attempt may begin.
    latest: Instant,
}

/// Sends a request, as often as the settings allow and its call has time.
pub(super) async fn send(
    hop: &Hop,
    slot: &Slot,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Error> {
    let mut errand = Errand {
        hop,
        slot,
        repeatable: request.method().is_safe() || slot.repeatable(),
        sent: 0,
        done: Delivered::No,
        latest: slot.deadline,
    };
    loop {
        let error = match errand.try_once(&request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(next) = errand.next(&error) else {
            return Err(error);
        };
        tracing::debug!(%error, sent = errand.sent, "waiting to ask discord again");
        let duration = next.saturating_duration_since(Instant::now());
        if let Some(limiter) = seen::limiter(&error) {
            hop.metrics.upstream().wait(limiter, duration);
        }
        slot.progress.tell(Wait { duration });
        sleep_until(next).await;
    }
}

impl Errand<'_> {
    async fn try_once(&mut self, request: &Request<Full<Bytes>>) -> Result<Answer, Error> {
        let begun = Instant::now();
        if let Some(limit) = self.limit_of_all(begun) {
            return Err(limit.after(self.done));
        }
        let outcome = match self.hop.guard.admit(self.slot.peer, &self.slot.token) {
            Ok(permit) => self.send_once(request, permit).await,
            Err(error) => {
                if let Some(why) = seen::held_back(&error) {
                    self.hop.metrics.upstream().hold_back(why);
                }
                Err(error)
            }
        };
        outcome.map_err(|error| {
            let error = error.after(self.done);
            if self.done == Delivered::No && error.delivered() != Delivered::No {
                self.latest = self.latest.min(begun + NONCE_KNOWN);
            }
            self.done = error.delivered();
            if let Error::RateLimited {
                scope: scope @ (Scope::Cloudflare | Scope::Global),
                retry_after,
                ..
            } = &error
            {
                let wait = retry_after.unwrap_or(FIRST_WAIT).max(FIRST_WAIT);
                self.slot.limit_all(*scope, Instant::now() + wait);
            }
            error
        })
    }

    async fn send_once(
        &mut self,
        request: &Request<Full<Bytes>>,
        permit: Permit,
    ) -> Result<Answer, Error> {
        self.sent += 1;
        self.slot.attempts.fetch_add(1, Ordering::Relaxed);
        let (method, upstream) = (request.method(), self.hop.metrics.upstream());
        if self.sent > 1 {
            upstream.repeat();
        }
        let counted = upstream.send(method.as_str(), request.uri().path());
        let attempt = Attempt::new(self.hop, self.slot, self.latest, method);
        let outcome = attempt.run(request.clone(), permit).await;
        counted.answered(seen::class(&outcome));
        outcome
    }

    /// What another request of the call was told that holds for this one too.
    fn limit_of_all(&self, now: Instant) -> Option<Error> {
        let (scope, until) = self.slot.limit_of_all()?;
        let wait = until.saturating_duration_since(now);
        (!wait.is_zero() || self.is_limited_for_good()).then(|| Error::RateLimited {
            scope,
            retry_after: (!wait.is_zero()).then_some(wait),
            // It was said to the other request.
            said: Said {
                status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
                ..Said::default()
            },
            delivered: Delivered::No,
        })
    }

    /// Whether the call has waited out limits that hold for all its requests as often as it may.
    fn is_limited_for_good(&self) -> bool {
        self.slot.times_limited() >= self.hop.attempts
    }

    /// The moment for the next attempt; none if there is to be none.
    fn next(&self, error: &Error) -> Option<Instant> {
        let wait = self.wait_behind(error)?;
        let earliest = Instant::now().checked_add(wait)?;
        let room = self
            .latest
            .checked_sub(LEAST_TIME)?
            .checked_duration_since(earliest)?;
        // A little more, so that not all who wait come back at once.
        let spread = room.min(wait / 4 + Duration::from_millis(50));
        Some(earliest + spread.mul_f64(fraction()))
    }

    /// Tells how long to wait behind an attempt; none if the request must not be sent again.
    fn wait_behind(&self, error: &Error) -> Option<Duration> {
        // Nothing was sent, and it does not count.
        if let Error::Guarded {
            why: Guarded::Banned | Guarded::Crowded,
            retry_after,
            ..
        } = error
        {
            return Some(*retry_after);
        }
        if self.sent >= self.hop.attempts || self.is_limited_for_good() {
            return None;
        }
        let steps = u32::try_from(self.sent.saturating_sub(1)).unwrap_or(u32::MAX);
        let usual = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(steps));
        let asked = |wait: &Option<Duration>| wait.map_or(usual, |wait| wait.max(usual));
        match error {
            // Discord did nothing when it answered so.
            Error::RateLimited { retry_after, .. } => Some(asked(retry_after)),
            Error::Unavailable {
                cause: Cause::Tls(_),
                ..
            } => None,
            Error::Unavailable {
                delivered,
                retry_after,
                ..
            } => {
                let may = self.repeatable || *delivered == Delivered::No;
                may.then(|| asked(retry_after))
            }
            // What was done is only asked for once more.
            Error::BadAnswer {
                why: Unreadable::Cut,
                ..
            } => self.repeatable.then_some(usual),
            Error::BadAnswer { .. }
            | Error::Build
            | Error::Guarded { .. }
            | Error::Refused { .. }
            | Error::TimedOut { .. } => None,
        }
    }
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let bits = getrandom::u32().expect("the kernel has randomness once the system is up");
    f64::from(bits) / f64::from(u32::MAX)
}
