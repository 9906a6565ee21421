//! A stateless JSON-RPC 2.0 daemon that says things on Discord, one fresh client per call.
//!
//! # The way of a call
//!
//! ```text
//!          listener            surface            operation           discord
//! socket → accept, sniff → lines, HTTP, WS;  → what is asked,  → a fresh twilight → its own
//!          first byte          JSON-RPC, MCP;    params typed        client, through    connection
//!                              token, the row    and checked         the one exit       to Discord
//! socket ← one writer      ←  codes, shapes    ← reply or error   ← facts, no texts   ← status, bytes
//! ```
//!
//! One direction, no room entered twice, no shared mutable state on the way. A module names only
//! modules below it in this list; a test keeps that.
//!
//! A new Discord operation is one file in [`operation`] and one row in its table. A new way to say
//! or refuse something is in [`surface`]. Whatever leaves the process leaves through [`discord`].

pub mod cli;

pub mod daemon;

pub mod listener;

pub mod surface;

pub mod frame;

pub mod operation;

pub mod discord;

#[cfg(feature = "sandbox")]
pub mod sandbox;

pub mod metrics;

pub mod log;

pub mod notify;

pub mod threads;

pub mod config;

pub mod json;

pub mod memory;
