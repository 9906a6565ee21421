//! One fault: what is done to a request, and the answers that stand in for Discord's.
//!
//! It must not touch a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::limited::{Scope, Unlucky, cloudflare};

/// Longest delay, and longest time a limit is said to last.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest body made up, in bytes.
pub(super) const MAX_BODY: u64 = 512 << 20;

/// What is done. An answer of its own goes together with one thing done to the body, and a delay
/// with everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::sandbox) struct Act {
    /// Waits before anything else.
    delay_ms: u64,
    /// Answers with this status instead of asking the API.
    status: Option<u16>,
    /// The body that goes with `status`: a text as it is, anything else as JSON.
    body: Option<Value>,
    /// Headers put over those of the answer.
    headers: BTreeMap<String, String>,
    /// Answers as one of Discord's limits does.
    rate_limit: Option<RateLimit>,
    /// Answers with a page of Cloudflare's.
    cloudflare: Option<Cloudflare>,
    /// Closes the connection.
    pub(in crate::sandbox) drop: Option<Drop>,
    /// Closes it by RST instead of FIN.
    pub(in crate::sandbox) reset: bool,
    /// Ends the body and the connection after so many bytes of a longer body.
    pub(super) cut: Option<usize>,
    /// Follows the body with blanks, without end: 512 MiB.
    pub(super) endless: bool,
    /// Follows the body with blanks up to so many bytes.
    pub(super) oversize: Option<u64>,
    /// Stops.
    pub(in crate::sandbox) hang: Option<Hang>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimit {
    scope: Scope,
    /// In seconds.
    retry_after: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cloudflare {
    #[serde(default = "too_many")]
    status: u16,
    /// In seconds.
    retry_after: Option<u64>,
}

fn too_many() -> u16 {
    429
}

/// When a connection is closed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::sandbox) enum Drop {
    /// When the API has done what was asked for, and before it is answered.
    After,
    /// When the request was read, and before the API sees it.
    Before,
}

/// Where an answer stops until the peer closes the connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(in crate::sandbox) enum Hang {
    /// In the middle of the body, after the API has done what was asked for.
    Body,
    /// Before the head; the API does not see the request.
    Head,
}

impl Act {
    /// Looks for what serde cannot see.
    ///
    /// # Errors
    ///
    /// When a value is out of its range, or two faults exclude each other.
    pub(super) fn check(&self) -> Result<(), String> {
        let count = |these: &[bool]| these.iter().filter(|it| **it).count();
        let answers = [
            self.status.is_some(),
            self.rate_limit.is_some(),
            self.cloudflare.is_some(),
        ];
        let ends = [
            self.drop.is_some(),
            self.cut.is_some(),
            self.endless,
            self.oversize.is_some(),
            self.hang.is_some(),
        ];
        let time = self.rate_limit.map_or(0.0, |limit| limit.retry_after);
        let statuses = [self.status, self.cloudflare.map(|page| page.status)];
        let mut statuses = statuses.into_iter().flatten();
        let problem = if count(&answers) > 1 {
            "one of status, rate_limit and cloudflare"
        } else if count(&ends) > 1 {
            "one of drop, cut, endless, oversize and hang"
        } else if count(&answers) + count(&ends) == 0 && self.is_idle() {
            "nothing to do"
        } else if self.body.is_some() && self.status.is_none() {
            "body: only with status"
        } else if self.reset && self.drop.is_none() {
            "reset: only with drop"
        } else if !statuses.all(|status| (200..600).contains(&status)) {
            "status: from 200 to 599"
        } else if !(0.0..MAX_TIME.as_secs_f64()).contains(&time) || self.delay() > MAX_TIME {
            "delay_ms and retry_after: at most a day"
        } else if self.oversize.is_some_and(|size| size > MAX_BODY) {
            "oversize: at most 512 MiB"
        } else if !self
            .headers
            .iter()
            .all(|(name, value)| is_header(name, value))
        {
            "headers: not a header, or one that frames the body"
        } else {
            return Ok(());
        };
        Err(problem.to_owned())
    }

    fn is_idle(&self) -> bool {
        self.delay_ms == 0 && self.headers.is_empty()
    }

    /// Gives how long to wait first.
    pub(in crate::sandbox) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// Gives the answer that stands in for the API's, if there is one.
    pub(in crate::sandbox) fn answer(&self) -> Option<Response<Body>> {
        if let Some(limit) = self.rate_limit {
            let retry_after = Duration::from_secs_f64(limit.retry_after);
            return Some(Unlucky::wanted(limit.scope, retry_after).into_response());
        }
        if let Some(page) = self.cloudflare {
            let status = StatusCode::from_u16(page.status).ok()?;
            return Some(cloudflare(status, page.retry_after));
        }
        let status = StatusCode::from_u16(self.status?).ok()?;
        let (kind, body) = match &self.body {
            Some(Value::String(text)) => ("text/html; charset=utf-8", text.clone()),
            Some(body) => ("application/json", body.to_string()),
            None => ("application/json", said(status).to_string()),
        };
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = status;
        let kind = HeaderValue::from_static(kind);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        Some(answer)
    }

    /// Puts the wanted headers over those of an answer.
    pub(in crate::sandbox) fn add_headers(&self, answer: &mut Response<Body>) {
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                answer.headers_mut().insert(name, value);
            }
        }
    }
}

/// Gives what Discord says with a status when it says nothing more.
fn said(status: StatusCode) -> Value {
    let reason = status.canonical_reason().unwrap_or("Error");
    json!({ "message": format!("{}: {reason}", status.as_u16()), "code": 0 })
}

fn is_header(name: &str, value: &str) -> bool {
    let value = value.parse::<HeaderValue>();
    let name = name.parse::<HeaderName>();
    name.is_ok_and(|name| name != CONTENT_LENGTH && name != TRANSFER_ENCODING) && value.is_ok()
}
