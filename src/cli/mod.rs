//! The command line: one file for each command.

#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
#[cfg(feature = "sandbox")]
mod welcome;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{config::Unusable, listener::InUse};

/// A stateless JSON-RPC 2.0 daemon that says things on Discord: every call brings its own bot token
/// and gets its own client.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon; this is also what no command at all does.
    Serve(serve::Args),
    /// Run a stand-in for Discord's REST API, to try things out without a bot.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Args),
}

/// A socket cannot be opened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a door cannot be opened")]
struct NoDoor;

/// What settings that cannot be used end with.
const CONFIG: u8 = 78;
/// What a door that cannot be opened ends with.
const DOOR: u8 = 73;

/// What a wrong command line ends with.
const USAGE: u8 = 64;
/// What a bug ends with.
const BUG: u8 = 70;
/// What a socket that a live daemon serves ends with.
const IN_USE: u8 = 69;
/// What a missing permission ends with.
const PERMISSION: u8 = 77;

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            let code = if err.use_stderr() { USAGE } else { 0 };
            // A broken pipe is how `discordd --help | head` ends.
            let _ = err.print();
            return code.into();
        }
    };
    let outcome = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            complain(&err);
            exit_code(&err).into()
        }
    }
}

/// Tells, where the log would not, why the command ended.
fn complain(err: &anyhow::Error) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "discordd: {err:#}");
}

fn exit_code(err: &anyhow::Error) -> u8 {
    let denied = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied)
    };
    if err.chain().any(<dyn std::error::Error>::is::<InUse>) {
        return IN_USE;
    }
    if err.downcast_ref::<Unusable>().is_some() {
        return CONFIG;
    }
    if err.chain().any(denied) {
        return PERMISSION;
    }
    if err.downcast_ref::<NoDoor>().is_some() {
        return DOOR;
    }
    BUG
}
