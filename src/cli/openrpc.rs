//! `discordd openrpc`: the `OpenRPC` document, the same one that `rpc.discover` returns.

use super::output;
use crate::surface::openrpc;

/// Prints the `OpenRPC` document of every method, the same one that `rpc.discover` returns.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: discordd openrpc > openrpc.json")]
pub(super) struct Args {}

pub(super) fn run(_: &Args) -> anyhow::Result<()> {
    let document = format!("{:#}\n", openrpc::document());
    output::print(document.as_bytes())
}
