//! What the tests stand on: the processes, the clients, and stand-ins for what is not Discord.

pub(crate) mod attacker;
pub(crate) mod authority;
pub(crate) mod certificates;
pub(crate) mod daemon;
pub(crate) mod fake;
pub(crate) mod http;
pub(crate) mod lines;
pub(crate) mod logged;
pub(crate) mod many;
pub(crate) mod mcp;
pub(crate) mod page;
pub(crate) mod passed;
pub(crate) mod sandbox;
pub(crate) mod upstream;
pub(crate) mod websocket;
