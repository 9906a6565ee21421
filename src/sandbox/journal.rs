//! What came: counters, and the last requests, without tokens and without bodies.
//!
//! What it keeps is bounded, whatever paths are asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::snowflake::now_ms;

/// Most requests remembered; the oldest is forgotten first.
const MAX_REQUESTS: usize = 1000;
/// Most routes counted apart; what comes after them is counted as [`OTHER`].
const MAX_ROUTES: usize = 100;
/// Where routes are counted that are too many.
const OTHER: &str = "other";
/// Most characters of a part of a path that are shown: those of the longest id.
const MAX_SEGMENT: usize = 20;

/// The counters at one moment.
#[derive(Serialize)]
pub(super) struct Stats {
    connections: u64,
    requests: u64,
    messages: u64,
    faults: u64,
    routes: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
}

/// One request.
#[derive(Clone, Serialize)]
pub(super) struct Request {
    /// The first request is 1.
    number: u64,
    method: String,
    path: String,
    /// None before it is answered, and for ever if the connection was closed instead.
    status: Option<u16>,
    /// When it came, in milliseconds of the Unix epoch.
    at_ms: u64,
    /// Whether a fault was made of it.
    fault: bool,
}

/// Everything that came since the start.
#[derive(Default)]
pub(super) struct Journal {
    connections: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    total: u64,
    faults: u64,
    routes: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    last: VecDeque<Request>,
}

impl Journal {
    /// Counts a connection.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a request, and gives its number.
    pub(super) fn came(&self, method: &str, path: &str) -> u64 {
        let method = if method.len() <= MAX_SEGMENT {
            method
        } else {
            "*"
        };
        let route = format!("{method} {}", route(path));
        let mut book = self.book();
        book.total += 1;
        let is_known = book.routes.contains_key(&route) || book.routes.len() < MAX_ROUTES;
        let route = if is_known { route } else { OTHER.to_owned() };
        *book.routes.entry(route).or_default() += 1;
        let number = book.total;
        book.last.push_back(Request {
            number,
            method: method.to_owned(),
            path: shown(path, |segment| segment),
            status: None,
            at_ms: now_ms(),
            fault: false,
        });
        if book.last.len() > MAX_REQUESTS {
            book.last.pop_front();
        }
        number
    }

    /// Notes that a fault is made of a request.
    pub(super) fn faulted(&self, number: u64) {
        let mut book = self.book();
        book.faults += 1;
        if let Some(request) = book.request(number) {
            request.fault = true;
        }
    }

    /// Notes the status a request was answered with.
    pub(super) fn answered(&self, number: u64, status: u16) {
        let mut book = self.book();
        *book.statuses.entry(status).or_default() += 1;
        if let Some(request) = book.request(number) {
            request.status = Some(status);
        }
    }

    /// Gives the counters.
    pub(super) fn stats(&self, messages: u64) -> Stats {
        let book = self.book();
        Stats {
            connections: self.connections.load(Ordering::Relaxed),
            requests: book.total,
            messages,
            faults: book.faults,
            routes: book.routes.clone(),
            statuses: book.statuses.clone(),
        }
    }

    /// Gives the requests after the one of this number, as far as they are remembered.
    pub(super) fn since(&self, number: u64) -> Vec<Request> {
        let book = self.book();
        let last = book.last.iter();
        last.filter(|request| request.number > number)
            .cloned()
            .collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic while it was held loses at most one note.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn request(&mut self, number: u64) -> Option<&mut Request> {
        let first = self.last.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.last.get_mut(index)
    }
}

/// Gives a path with every id replaced by its place.
pub(super) fn route(path: &str) -> String {
    shown(
        path,
        |segment| if is_id(segment) { "{id}" } else { segment },
    )
}

/// Gives the first id in a path, by which Discord's limits are kept apart.
pub(super) fn first_id(path: &str) -> &str {
    let mut segments = path.split('/');
    segments.find(|segment| is_id(segment)).unwrap_or_default()
}

fn is_id(segment: &str) -> bool {
    (1..=MAX_SEGMENT).contains(&segment.len()) && segment.bytes().all(|it| it.is_ascii_digit())
}

/// Writes a path below the API's version. A part that could hide a token is a star.
fn shown<'a>(path: &'a str, each: impl Fn(&'a str) -> &'a str) -> String {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || it == b'@' || it == b'-' || it == b'_';
    let below = path.strip_prefix("/api/v10").unwrap_or(path);
    let segments = below.split('/').map(|segment| {
        if segment.len() <= MAX_SEGMENT && segment.bytes().all(is_plain) {
            each(segment)
        } else {
            "*"
        }
    });
    segments.take(MAX_SEGMENT).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_shows_ids_and_no_token() {
        let path = "/api/v10/channels/1184031022407147523/messages";
        assert_eq!(route(path), "/channels/{id}/messages");
        assert_eq!(first_id(path), "1184031022407147523");
        let token = "/api/v10/webhooks/12/aW50ZXJhY3Rpb246MTIzNDU2Nzg5MDEyMzQ1Njc4";
        assert_eq!(route(token), "/webhooks/{id}/*");
        assert_eq!(shown(token, |segment| segment), "/webhooks/12/*");
        assert_eq!(shown("/channels/a.b", |segment| segment), "/channels/*");
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_newest() {
        let journal = Journal::default();
        for number in 0..2000 {
            let came = journal.came("GET", &format!("/x{number}"));
            journal.answered(came, 404);
        }
        let stats = journal.stats(0);
        assert_eq!((stats.requests, stats.statuses[&404]), (2000, 2000));
        assert_eq!(stats.routes.len(), MAX_ROUTES + 1);
        assert_eq!(stats.routes[OTHER], 1900);
        let last = journal.since(1998);
        assert_eq!((last.len(), last[0].status), (2, Some(404)));
        assert_eq!(journal.since(0).len(), MAX_REQUESTS);
    }
}
