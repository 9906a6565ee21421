//! How Discord speaks about rate limits: the headers, the answer 429, and Cloudflare's page.
//!
//! It counts nothing. See <https://discord.com/developers/docs/topics/rate-limits>.

use std::fmt::Display;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::snowflake::now_ms;

/// Whose limit it is, as `X-RateLimit-Scope` says it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// The bot's, over all routes.
    Global,
    /// Nobody says: an answer without any header about limits.
    None,
    /// That of all who use the same thing.
    Shared,
    /// The bot's, on one route.
    User,
}

/// What an answer says about its route's limit.
#[derive(Clone, Debug)]
pub(super) struct Headers {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset_after: Duration,
    pub(super) bucket: String,
}

impl Headers {
    /// Adds itself to the headers of an answer.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        let reset = Duration::from_millis(now_ms()) + self.reset_after;
        put(headers, "x-ratelimit-limit", self.limit);
        put(headers, "x-ratelimit-remaining", self.remaining);
        put(headers, "x-ratelimit-reset", seconds(reset));
        put(
            headers,
            "x-ratelimit-reset-after",
            seconds(self.reset_after),
        );
        put(headers, "x-ratelimit-bucket", &self.bucket);
    }
}

/// A request that came too early.
#[derive(Debug)]
pub(super) struct Unlucky {
    pub(super) scope: Scope,
    retry_after: Duration,
    headers: Option<Headers>,
}

impl Unlucky {
    /// Makes it; `headers` are those of the route, which a global limit has none of.
    pub(super) fn new(scope: Scope, retry_after: Duration, headers: Option<Headers>) -> Self {
        Self {
            scope,
            retry_after,
            headers,
        }
    }

    /// Makes one that was not counted but wanted.
    pub(super) fn wanted(scope: Scope, retry_after: Duration) -> Self {
        let headers = match scope {
            Scope::Global | Scope::None => None,
            Scope::Shared | Scope::User => Some(Headers {
                limit: 5,
                remaining: 0,
                reset_after: retry_after,
                bucket: "0123456789abcdef0123456789abcdef".to_owned(),
            }),
        };
        Self::new(scope, retry_after, headers)
    }

    /// Writes the answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let is_global = self.scope == Scope::Global;
        let body = json!({
            "message": "You are being rate limited.",
            "retry_after": seconds(self.retry_after).parse::<f64>().unwrap_or_default(),
            "global": is_global,
            "code": 0,
        });
        let mut answer = Response::new(Body::from(body.to_string()));
        *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let headers = answer.headers_mut();
        put(headers, "content-type", "application/json");
        if let Some(limit) = &self.headers {
            limit.add_to(headers);
        }
        let scope = match self.scope {
            Scope::Global => "global",
            Scope::None => return answer,
            Scope::Shared => "shared",
            Scope::User => "user",
        };
        put(headers, "x-ratelimit-scope", scope);
        put(headers, "retry-after", whole_seconds(self.retry_after));
        if is_global {
            put(headers, "x-ratelimit-global", true);
        }
        answer
    }
}

/// Writes a page of Cloudflare's: error 1015 for the status 429, and a gateway's otherwise.
///
/// See <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1015/>.
pub(super) fn cloudflare(status: StatusCode, retry_after: Option<u64>) -> Response<Body> {
    let (title, text) = if status == StatusCode::TOO_MANY_REQUESTS {
        ("Access denied", "Error 1015: You are being rate limited")
    } else {
        let reason = status.canonical_reason().unwrap_or("Error");
        (reason, reason)
    };
    let number = status.as_u16();
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>{title} | discord.com used \
         Cloudflare to restrict access</title></head>\n<body><h1>{text}</h1>\n\
         <p>The owner of this website (discord.com) answers with {number}.</p></body>\n</html>\n"
    );
    let mut answer = Response::new(Body::from(page));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    put(headers, "content-type", "text/html; charset=UTF-8");
    put(headers, "server", "cloudflare");
    if let Some(retry_after) = retry_after {
        put(headers, "retry-after", retry_after);
    }
    answer
}

fn put(headers: &mut HeaderMap, name: &'static str, value: impl Display) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Writes a time as Discord does in headers: seconds and three digits.
fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Rounds up to seconds, as `Retry-After` has them.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
