//! Requests to Discord: what they were for, what came of them, and what they waited for.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    calls::Times,
    label::{Counts, Label},
};

/// What is asked of Discord, as its documentation spells it: an id never stands in a figure.
/// See <https://discord.com/developers/docs/reference#api-reference>.
pub(super) const ROUTES: [(&str, &str); 7] = [
    ("GET", "/channels/{channel.id}"),
    ("GET", "/guilds/{guild.id}"),
    ("GET", "/guilds/{guild.id}/channels"),
    ("GET", "/guilds/{guild.id}/members/{user.id}"),
    ("GET", "/users/@me"),
    ("GET", "/users/@me/guilds"),
    ("POST", "/channels/{channel.id}/messages"),
];
/// What every other route is counted as.
pub(super) const OTHER: &str = "other";
/// What stands before each of them.
const BASE: &str = "/api/v10";

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nobody waited for it to the end.
    Abandoned,
    /// The token is not known.
    #[serde(rename = "401")]
    Unauthorized,
    /// The bot may not.
    #[serde(rename = "403")]
    Forbidden,
    /// There is no such thing.
    #[serde(rename = "404")]
    NotFound,
    /// A rate limit.
    #[serde(rename = "429")]
    TooMany,
    /// Any other refusal.
    #[serde(rename = "4xx")]
    Refused,
    /// Discord, or a machine in between, is out of order.
    #[serde(rename = "5xx")]
    Failed,
    /// The connection was lost after it stood.
    Lost,
    /// It was done.
    #[serde(rename = "2xx")]
    Success,
    /// The time was over.
    TimedOut,
    /// The other end did not prove to be Discord, or TLS failed otherwise.
    Tls,
    /// There was no connection, or no proxy that opened one.
    Unreachable,
    /// An answer that cannot be read.
    Unreadable,
}

/// What limits a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Limiter {
    /// Cloudflare, in front of Discord.
    Cloudflare,
    /// Discord, all of a bot's requests.
    Global,
    /// The daemon's guard.
    Guard,
    /// Discord, everyone who uses a resource.
    Shared,
    /// Discord, a bot's requests on a route.
    User,
}

/// Why the guard held a request back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum HeldBack {
    /// Cloudflare keeps out this machine's address.
    Banned,
    /// So much is under way that all of it refused would be too much.
    Crowded,
    /// The address has as many refusals as it may.
    Limit,
    /// The peer has as many refusals as it may.
    Share,
    /// The token was refused a moment ago.
    Token,
}

impl Label for Class {
    const KEY: &'static str = "class";

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for Limiter {
    const KEY: &'static str = "scope";

    fn index(self) -> usize {
        self as usize
    }
}

impl Label for HeldBack {
    const KEY: &'static str = "reason";

    fn index(self) -> usize {
        self as usize
    }
}

/// What is counted of the way to Discord.
#[derive(Debug, Default)]
pub struct Upstream {
    /// By route; the last is for what is on no list.
    requests: [Counts<Class>; ROUTES.len() + 1],
    times: Times,
    repeats: AtomicU64,
    waits: Counts<Limiter>,
    waited_ms: Counts<Limiter>,
    held_back: Counts<HeldBack>,
}

/// A request on its way; dropping it says that nobody waited for its answer.
#[derive(Debug)]
pub struct Sent<'a> {
    upstream: &'a Upstream,
    route: usize,
    begun: Instant,
    class: Class,
}

impl Upstream {
    /// Begins to count a request that is sent now.
    #[must_use]
    pub fn send(&self, method: &str, path: &str) -> Sent<'_> {
        Sent {
            upstream: self,
            route: route(method, path),
            begun: Instant::now(),
            class: Class::Abandoned,
        }
    }

    /// Counts a request that is to be sent once more.
    pub fn repeat(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a wait that a limit makes.
    pub fn wait(&self, limiter: Limiter, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.waits.add(limiter, 1);
        self.waited_ms.add(limiter, millis);
    }

    /// Counts a request that the guard held back.
    pub fn hold_back(&self, why: HeldBack) {
        self.held_back.add(why, 1);
    }

    /// Every route with its name and what came of its requests.
    pub(super) fn requests(&self) -> impl Iterator<Item = (String, &Counts<Class>)> {
        let names = ROUTES
            .iter()
            .map(|(method, path)| format!("{method} {path}"));
        names.chain([OTHER.to_owned()]).zip(&self.requests)
    }

    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    pub(super) fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    pub(super) fn waits(&self) -> &Counts<Limiter> {
        &self.waits
    }

    pub(super) fn waited_ms(&self) -> &Counts<Limiter> {
        &self.waited_ms
    }

    pub(super) fn held_back(&self) -> &Counts<HeldBack> {
        &self.held_back
    }
}

impl Sent<'_> {
    /// Takes note of what came of it.
    pub fn answered(mut self, class: Class) {
        self.class = class;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.upstream.requests[self.route].add(self.class, 1);
        self.upstream.times.add(self.begun.elapsed());
    }
}

/// Finds the place of a route on the list.
fn route(method: &str, path: &str) -> usize {
    let path = path.strip_prefix(BASE).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let found = ROUTES.iter().position(|(its_method, template)| {
        let mut segments = path.split('/');
        let mut wanted = template.split('/');
        *its_method == method
            && wanted.by_ref().all(|wanted| {
                let segment = segments.next();
                segment.is_some_and(|it| wanted.starts_with('{') && it != "@me" || it == wanted)
            })
            && segments.next().is_none()
    });
    found.unwrap_or(ROUTES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_told_by_its_words_and_not_by_its_ids() {
        let named = |method: &str, path: &str| {
            let found = ROUTES.get(route(method, path));
            found.map_or(OTHER, |(_, template)| *template)
        };
        for (method, template) in ROUTES {
            let path = format!("{BASE}{template}").replace("{channel.id}", "7");
            assert_eq!(named(method, &path), template);
            assert_eq!(named(method, &format!("{path}?limit=1")), template);
            assert_eq!(named("PUT", &path), OTHER);
            assert_eq!(named(method, &format!("{path}/more")), OTHER);
        }
        for path in [
            "/api/v10",
            "/api/v10/channels",
            "/channels/7",
            "",
            "/api/v10/webhooks/1/secret",
        ] {
            assert_eq!(named("GET", path), OTHER, "{path}");
        }
    }
}
