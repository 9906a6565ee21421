//! What is held of any input, whoever made it up: libFuzzer, or whoever kept it in `corpus/`, which
//! `cargo test` goes through.
//!
//! A check panics where something does not hold. It goes in by the doors that everybody has: what is
//! public, and bytes.

mod support;

pub mod answers;
pub mod connection;
pub mod document;
pub mod messages;
pub mod pages;
pub mod params;
pub mod said;
pub mod texts;

/// A check of one input.
pub type Check = fn(&[u8]);

/// Every check, by the name of its target.
pub const CHECKS: [(&str, Check); 8] = [
    ("answers", answers::check),
    ("connection", connection::check),
    ("document", document::check),
    ("messages", messages::check),
    ("pages", pages::check),
    ("params", params::check),
    ("said", said::check),
    ("texts", texts::check),
];
