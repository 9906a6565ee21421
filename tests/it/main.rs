//! The one test crate: every test drives the real binary over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test, or what it is made of, ends where it went wrong"
)]
#![allow(
    clippy::too_many_lines,
    reason = "a test is as long as its table of cases"
)]
#![cfg(feature = "sandbox")]

mod attacks;
mod attempts;
mod bad_input;
mod cancelled;
mod channels;
mod cli_access;
mod cli_call;
mod cli_config;
mod cli_health;
mod cli_help;
mod cli_identities;
mod containers;
mod corpus;
mod dashboard;
mod doors;
mod doors_tls;
mod exactly_once;
mod far_side;
mod figures;
mod growth;
mod guard;
mod json_rpc;
mod limits;
mod log;
mod mcp;
mod mcp_stdio;
mod pages;
mod properties;
mod rest;
mod restarts;
mod rights;
mod sandbox;
mod sandbox_faults;
mod sandbox_history;
mod sandbox_limits;
mod sandbox_messages;
mod sandbox_permissions;
mod sandbox_references;
mod sandbox_world;
mod seats;
mod secrets;
mod send_message;
mod start_stop;
mod support;
mod systemd;
mod tidy;
mod tls;
mod units;
mod websocket;
