//! Reads what a 429 says: who is limited, and for how long.
//! See <https://discord.com/developers/docs/topics/rate-limits>.

use std::time::Duration;

use hyper::{HeaderMap, header::RETRY_AFTER};
use serde::Deserialize;

use crate::discord::error::Scope;

/// Longest wait that is believed, and what a longer one is taken for; Discord's longest bans last
/// about a day.
const MAX_WAIT_SECS: f64 = 7.0 * 24.0 * 3600.0;

/// How long to stay away when Cloudflare does not say.
const CLOUDFLARES_WAIT: Duration = Duration::from_secs(60);
/// The header that tells what a limit is shared by.
const SCOPE: &str = "x-ratelimit-scope";

/// A limit as a 429 tells it.
#[derive(Debug, PartialEq)]
pub(super) struct RateLimit {
    pub(super) scope: Scope,
    pub(super) retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct Body {
    retry_after: Option<f64>,
    #[serde(default)]
    global: bool,
    /// Whether it is Cloudflare's page, for whoever wants JSON.
    #[serde(default)]
    cloudflare_error: bool,
}

/// Reads the limit from headers and body; a 429 that is not Discord's JSON is Cloudflare's.
/// See <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-1015/>.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> RateLimit {
    let body: Option<Body> = serde_json::from_slice(body).ok();
    let scope = match (text(headers, SCOPE), &body) {
        (Some("user"), _) => Scope::User,
        (Some("shared"), _) => Scope::Shared,
        (Some("global"), _) | (None, Some(Body { global: true, .. })) => Scope::Global,
        (
            _,
            None
            | Some(Body {
                cloudflare_error: true,
                ..
            }),
        ) => Scope::Cloudflare,
        (_, Some(_)) => Scope::User,
    };
    let exact = body.and_then(|body| body.retry_after);
    let told = exact.and_then(wait).or_else(|| retry_after(headers));
    RateLimit {
        scope,
        retry_after: match scope {
            Scope::Cloudflare => told.or(Some(CLOUDFLARES_WAIT)),
            Scope::Global | Scope::Guard | Scope::Shared | Scope::User => told,
        },
    }
}

/// Whether a 429 is one that Discord holds against nobody.
pub(super) fn is_shared(headers: &HeaderMap) -> bool {
    text(headers, SCOPE) == Some("shared")
}

/// The seconds of the header `Retry-After`; a date, which Discord never sends, is not read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let secs = text(headers, RETRY_AFTER.as_str())?;
    wait(secs.trim().parse().ok()?)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn wait(secs: f64) -> Option<Duration> {
    let believed = secs.min(MAX_WAIT_SECS);
    (secs >= 0.0).then(|| Duration::from_secs_f64(believed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], body: &str, scope: Scope, millis: u64) {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let limit = read(&headers, body.as_bytes());
        let expected = RateLimit {
            scope,
            retry_after: (millis > 0).then(|| Duration::from_millis(millis)),
        };
        assert_eq!(limit, expected, "{body}");
    }

    #[test]
    fn each_kind_of_limit_is_told_apart() {
        let json = r#"{"message":"You are being rate limited.","retry_after":1.25,"global":false}"#;
        let global = r#"{"message":"...","retry_after":0.5,"global":true}"#;
        let scope = "x-ratelimit-scope";
        check(
            &[(scope, "user"), ("retry-after", "2")],
            json,
            Scope::User,
            1250,
        );
        check(&[(scope, "shared")], json, Scope::Shared, 1250);
        check(&[(scope, "global")], global, Scope::Global, 500);
        check(&[], global, Scope::Global, 500);
        check(&[], json, Scope::User, 1250);
        check(
            &[("retry-after", "90")],
            "<html>1015</html>",
            Scope::Cloudflare,
            90_000,
        );
        check(&[], "<html>1015</html>", Scope::Cloudflare, 60_000);
        let page = r#"{"cloudflare_error":true,"error_code":1015,"retry_after":30}"#;
        check(&[], page, Scope::Cloudflare, 30_000);
    }

    #[test]
    fn a_wait_that_makes_no_sense_is_not_believed() {
        check(&[], r#"{"retry_after":-1.0}"#, Scope::User, 0);
        let week = 7 * 86_400_000;
        check(&[], r#"{"retry_after":1e300}"#, Scope::User, week);
        check(&[("retry-after", "700000")], "{}", Scope::User, week);
    }
}
