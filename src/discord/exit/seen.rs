//! What figures call what comes of requests.

use crate::{
    discord::error::{Cause, Error, Guarded, Scope},
    metrics::{Class, HeldBack, Limiter},
};

/// What came of a request that was sent.
pub(super) fn class<T>(outcome: &Result<T, Error>) -> Class {
    match outcome {
        Ok(_) => Class::Success,
        // The last two are not sent at all.
        Err(Error::BadAnswer { .. } | Error::Build | Error::Guarded { .. }) => Class::Unreadable,
        Err(Error::RateLimited { .. }) => Class::TooMany,
        Err(Error::Refused { said, .. }) => class_of(said.status),
        Err(Error::TimedOut { .. }) => Class::TimedOut,
        Err(Error::Unavailable { cause, .. }) => match cause {
            Cause::Connect(_) | Cause::Exit(_) | Cause::Proxy(_) => Class::Unreachable,
            Cause::Lost(_) => Class::Lost,
            Cause::Status(status) => class_of(*status),
            Cause::Tls(_) => Class::Tls,
        },
    }
}

fn class_of(status: u16) -> Class {
    match status {
        401 => Class::Unauthorized,
        403 => Class::Forbidden,
        404 => Class::NotFound,
        500.. => Class::Failed,
        _ => Class::Refused,
    }
}

/// What a request waits for before it is sent again; none if no limit makes it wait.
pub(super) fn limiter(error: &Error) -> Option<Limiter> {
    match error {
        Error::Guarded { .. } => Some(Limiter::Guard),
        Error::RateLimited { scope, .. } => Some(match scope {
            Scope::Cloudflare => Limiter::Cloudflare,
            Scope::Global => Limiter::Global,
            Scope::Guard => Limiter::Guard,
            Scope::Shared => Limiter::Shared,
            Scope::User => Limiter::User,
        }),
        Error::BadAnswer { .. }
        | Error::Build
        | Error::Refused { .. }
        | Error::TimedOut { .. }
        | Error::Unavailable { .. } => None,
    }
}

/// Why the guard held a request back.
pub(super) fn held_back(error: &Error) -> Option<HeldBack> {
    let Error::Guarded { why, .. } = error else {
        return None;
    };
    Some(match why {
        Guarded::Banned => HeldBack::Banned,
        Guarded::Crowded => HeldBack::Crowded,
        Guarded::Limit => HeldBack::Limit,
        Guarded::Share => HeldBack::Share,
        Guarded::Token => HeldBack::Token,
    })
}
