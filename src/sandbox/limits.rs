//! Rate limits: counts each bot's requests, and says when they are too many.
//!
//! It must not know what a request does. The numbers that are Discord's are in
//! <https://discord.com/developers/docs/topics/rate-limits>; those of a route are not written
//! anywhere, and here they are made up.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use twilight_model::id::Id;
use twilight_model::id::marker::UserMarker;

use super::journal::{first_id, route};
use super::limited::{Headers, Scope, Unlucky};

/// Requests of one bot in [`GLOBAL_SPAN`]: "50 requests per second".
///
/// See <https://discord.com/developers/docs/topics/rate-limits#global-rate-limit>.
const GLOBAL: u32 = 50;
const GLOBAL_SPAN: Duration = Duration::from_secs(1);
/// Requests of one bot to one route in [`ROUTE_SPAN`]: what Discord is seen to allow for messages
/// in a channel, and twice as many for everything else.
const MESSAGES: u32 = 5;
const OTHERS: u32 = 10;
const ROUTE_SPAN: Duration = Duration::from_secs(5);
/// Most windows open at once; the oldest is forgotten first.
const MAX_WINDOWS: usize = 1 << 14;

/// A bot, a method with the template of a path, and the id that the path is about.
type Route = (Id<UserMarker>, String, String);

/// The limits of all bots.
pub(super) struct Limits {
    bots: Mutex<Windows<Id<UserMarker>>>,
    routes: Mutex<Windows<Route>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bots: Mutex::new(Windows::new(GLOBAL_SPAN)),
            routes: Mutex::new(Windows::new(ROUTE_SPAN)),
        }
    }
}

impl Limits {
    /// Counts a request, and gives what its answer has to say about limits.
    ///
    /// # Errors
    ///
    /// When there were too many.
    pub(super) fn count(
        &self,
        bot: Id<UserMarker>,
        method: &str,
        path: &str,
        now: Instant,
    ) -> Result<Headers, Unlucky> {
        // A panic while one of them was held loses at most one count.
        let mut bots = self.bots.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, left) = bots.count(bot, now);
        drop(bots);
        if count > GLOBAL {
            return Err(Unlucky::new(Scope::Global, left, None));
        }
        let route = format!("{method} {}", route(path));
        let limit = if route == "POST /channels/{id}/messages" {
            MESSAGES
        } else {
            OTHERS
        };
        let bucket = bucket(&route);
        let key = (bot, route, first_id(path).to_owned());
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, left) = routes.count(key, now);
        drop(routes);
        let headers = Headers {
            limit,
            remaining: limit.saturating_sub(count),
            reset_after: left,
            bucket,
        };
        if count > limit {
            return Err(Unlucky::new(Scope::User, left, Some(headers)));
        }
        Ok(headers)
    }
}

/// Names a bucket as Discord does: 32 hexadecimal digits that say nothing.
fn bucket(route: &str) -> String {
    // FNV-1a with 128 bits, so that a route has the same name at every start.
    let step = |hash: u128, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    format!("{:032x}", route.bytes().fold(start, step))
}

/// Counts within windows of one length, each opened by its first request.
struct Windows<K> {
    span: Duration,
    open: HashMap<K, (u32, Instant)>,
    order: VecDeque<(Instant, K)>,
}

impl<K: Clone + Eq + Hash> Windows<K> {
    fn new(span: Duration) -> Self {
        Self {
            span,
            open: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Counts one more, and gives how many there are and how long the window is still open.
    fn count(&mut self, key: K, now: Instant) -> (u32, Duration) {
        while let Some((end, old)) = self.order.front() {
            if *end > now && self.order.len() < MAX_WINDOWS {
                break;
            }
            self.open.remove(old);
            self.order.pop_front();
        }
        let end = now + self.span;
        let order = &mut self.order;
        let (count, end) = self.open.entry(key).or_insert_with_key(|key| {
            order.push_back((end, key.clone()));
            (0, end)
        });
        *count += 1;
        (*count, end.duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/api/v10/channels/1/messages";

    #[test]
    fn window_opens_again_and_is_forgotten() {
        let limits = Limits::default();
        let now = Instant::now();
        let post = |path: &str, now| limits.count(Id::new(7), "POST", path, now);
        for left in [4, 3, 2, 1, 0] {
            assert_eq!(post(PATH, now).unwrap().remaining, left);
        }
        assert_eq!(post(PATH, now).unwrap_err().scope, Scope::User);
        assert!(post("/api/v10/channels/2/messages", now).is_ok());
        assert!(limits.count(Id::new(8), "POST", PATH, now).is_ok());
        assert_eq!(post(PATH, now + ROUTE_SPAN).unwrap().remaining, 4);
        assert_eq!(limits.routes.lock().unwrap().open.len(), 1);
        assert_eq!(limits.bots.lock().unwrap().open.len(), 1);
    }

    #[test]
    fn all_routes_of_a_bot_count_together() {
        let limits = Limits::default();
        let now = Instant::now();
        let get = |number: u32| {
            let path = format!("/api/v10/channels/{number}");
            limits.count(Id::new(7), "GET", &path, now)
        };
        assert!((1..=GLOBAL).all(|number| get(number).is_ok()));
        assert_eq!(get(51).unwrap_err().scope, Scope::Global);
    }

    #[test]
    fn windows_are_bounded() {
        let mut windows = Windows::new(ROUTE_SPAN);
        let now = Instant::now();
        for key in 0..2 * MAX_WINDOWS {
            windows.count(key, now);
        }
        assert!(windows.open.len() <= MAX_WINDOWS);
        assert_eq!(windows.open.len(), windows.order.len());
    }
}
