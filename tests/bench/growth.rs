//! A hundred thousand messages of as many bots over every framing: each arrives once and under its
//! own bot, and what the daemon holds is printed. `cargo bench --bench growth`.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "it is made of the tests' parts, and ends where it went wrong"
)]

#[path = "../it/growth.rs"]
mod growth;
#[path = "../it/support/mod.rs"]
mod support;

use std::io::Write as _;

/// How many messages.
const MESSAGES: u64 = 100_000;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let mut stdout = std::io::stdout();
    for line in growth::hold(MESSAGES) {
        writeln!(stdout, "{line}").unwrap();
    }
}
