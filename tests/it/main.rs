//! The one test crate: every test drives the real binary over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test, or what it is made of, ends where it went wrong"
)]

mod sandbox;
mod sandbox_history;
mod sandbox_messages;
mod support;
