//! How calls come and how they are spelled: raw JSON texts, HTTP and WebSocket, all of them
//! speaking JSON-RPC; and MCP, over HTTP and on standard input.
//!
//! It must not talk to Discord: it reads a call, hands it to the table, and writes the answer.

mod document;
pub mod http;
pub mod mcp;
pub mod openrpc;
mod rpc;
pub mod stream;
mod websocket;

use std::sync::{Arc, atomic::AtomicUsize};

use tokio::sync::Semaphore;

pub use self::rpc::Rpc;
use crate::discord::{InvalidToken, Token};

/// Who asks, as far as the connection or the request tells.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Calls that may be under way on the connection, those of batches counted one by one.
    pub places: Arc<Semaphore>,
    /// Answers in batches that are not answered whole yet, in bytes.
    pub held_bytes: Arc<AtomicUsize>,
    /// The token of the request's `Authorization` header, for calls that bring none of their own.
    pub token: Option<Result<Token, InvalidToken>>,
}

impl Caller {
    /// Somebody on a connection that may have `calls` under way.
    #[must_use]
    pub fn new(calls: usize, token: Option<Result<Token, InvalidToken>>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(calls)),
            held_bytes: Arc::default(),
            token,
        }
    }
}
