//! A request until it has its answer: sent again where that helps and cannot do a thing twice.
//!
//! It must not wait when the call's time will not suffice: then the caller is told at once how long
//! Discord asks to wait.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::time::Instant;

use super::{
    Hop,
    attempt::{Answer, Attempt},
    passage::Slot,
};
use crate::discord::error::{Cause, Delivered, Error, Guarded, Unreadable};

/// First wait where Discord asks for none; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// What a wait must leave of the call's time, so that another attempt makes sense.
const LEAST_TIME: Duration = Duration::from_millis(250);
/// How long Discord is trusted to know a nonce: its documentation says "the past few minutes".
const NONCE_KNOWN: Duration = Duration::from_secs(120);

/// Sends a request, as often as the settings allow and its call has time.
pub(super) async fn send(
    hop: &Hop,
    slot: &Slot,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Error> {
    let repeatable = request.method().is_safe() || slot.repeatable();
    let (mut sent, mut earlier) = (0, Delivered::No);
    let mut latest = slot.deadline;
    loop {
        let outcome = match hop.guard.admit(slot.peer, &slot.token) {
            Ok(permit) => {
                sent += 1;
                let attempt = Attempt::new(hop, slot, &permit, request.method());
                attempt.run(request.clone()).await
            }
            Err(error) => Err(error),
        };
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(error) => error.after(earlier),
        };
        if earlier == Delivered::No && error.delivered() != Delivered::No {
            latest = latest.min(Instant::now() + NONCE_KNOWN);
        }
        earlier = error.delivered();
        let wait = wait_before_next(&error, sent, repeatable).filter(|_| sent < hop.attempts);
        let Some(next) = wait.and_then(|wait| moment_after(wait, latest)) else {
            return Err(error);
        };
        tracing::debug!(%error, sent, "waiting to ask discord again");
        tokio::time::sleep_until(next).await;
    }
}

/// Tells how long to wait before sending again behind `sent` attempts; none if it must not be sent.
fn wait_before_next(error: &Error, sent: usize, repeatable: bool) -> Option<Duration> {
    let steps = u32::try_from(sent.saturating_sub(1)).unwrap_or(u32::MAX);
    let usual = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(steps));
    match error {
        Error::Guarded {
            why: Guarded::Banned,
            retry_after,
            ..
        } => Some(*retry_after),
        // Discord did nothing when it answered so.
        Error::RateLimited { retry_after, .. } => Some(retry_after.unwrap_or(usual)),
        Error::Unavailable {
            cause: Cause::Tls(_),
            ..
        } => None,
        Error::Unavailable {
            delivered,
            retry_after,
            ..
        } => {
            let may = repeatable || *delivered == Delivered::No;
            may.then(|| retry_after.unwrap_or(usual))
        }
        // What was done is only asked for once more.
        Error::BadAnswer {
            why: Unreadable::Cut,
            ..
        } => repeatable.then_some(usual),
        Error::BadAnswer { .. }
        | Error::Build
        | Error::Guarded { .. }
        | Error::Refused { .. }
        | Error::TimedOut { .. } => None,
    }
}

/// The moment after a wait and a little more, so that not all who wait come back at once; none if
/// there is no time for it before `latest`.
fn moment_after(wait: Duration, latest: Instant) -> Option<Instant> {
    let earliest = Instant::now().checked_add(wait)?;
    let room = latest
        .checked_sub(LEAST_TIME)?
        .checked_duration_since(earliest)?;
    let spread = room.min(wait / 4 + Duration::from_millis(50));
    Some(earliest + spread.mul_f64(fraction()))
}

/// A random number from 0 to 1.
fn fraction() -> f64 {
    let bits = getrandom::u32().expect("the kernel has randomness once the system is up");
    f64::from(bits) / f64::from(u32::MAX)
}
