//! The command line: one file for each command.

mod access;
mod address;
mod call;
mod client;
mod completions;
mod config;
mod flags;
mod health;
mod identities;
mod man;
mod mcp;
mod openrpc;
mod output;
mod params;
mod pass;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
#[cfg(feature = "sandbox")]
mod welcome;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::{config::Unusable, listener::InUse, log};

/// A stateless JSON-RPC 2.0 daemon that says things on Discord: every call brings its own bot token
/// and gets its own client.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon; this is also what no command at all does.
    Serve(serve::Args),
    /// Call a method of the running daemon.
    Call(call::Args),
    /// Ask the running daemon how it is.
    Health(health::Args),
    /// Show which bot each token is, by a test message of each.
    Identities(identities::Args),
    /// Be an MCP server for one bot, on standard input and output.
    Mcp(mcp::Args),
    /// Show or check the settings.
    #[command(subcommand)]
    Config(config::Command),
    /// Run a stand-in for Discord's REST API, to try things out without a bot.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Args),
    /// Print the `OpenRPC` document of every method.
    Openrpc(openrpc::Args),
    /// Print what a shell needs to complete the command line.
    Completions(completions::Args),
    /// Print the manual page, or write one for each command.
    Man(man::Args),
}

/// Why a command ended, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Failure {
    /// A socket cannot be opened.
    #[error("a door cannot be opened")]
    Door,
    /// What the command makes cannot be written.
    #[error("the output cannot be written")]
    Output,
    /// The command line cannot be used.
    #[error("the command line cannot be used")]
    Usage,
}

/// What settings that cannot be used end with.
const CONFIG: u8 = 78;
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
    hide_memory();
    log::report_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            let code = if err.use_stderr() { USAGE } else { 0 };
            // A broken pipe is how `discordd --help | head` ends.
            let _ = err.print();
            return code.into();
        }
    };
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    command.run().unwrap_or_else(|err| {
        complain(&err);
        exit_code(&err).into()
    })
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Call(args) => return call::run(&args),
            Self::Completions(args) => completions::run(&args),
            Self::Config(command) => config::run(&command),
            Self::Health(args) => return health::run(&args),
            Self::Identities(args) => return identities::run(&args),
            Self::Man(args) => man::run(&args),
            Self::Mcp(args) => mcp::run(&args),
            Self::Openrpc(args) => openrpc::run(&args),
            #[cfg(feature = "sandbox")]
            Self::Sandbox(args) => sandbox::run(args),
            Self::Serve(args) => serve::run(&args),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Keeps other processes of the same user out of the memory, which holds tokens, and out of the
/// environment, where one may come from; it also leaves no core dump behind.
/// See <https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html>.
fn hide_memory() {
    if let Err(err) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        complain(&anyhow::Error::new(err).context("hide the memory from other processes"));
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
    err.downcast_ref::<Failure>()
        .map_or(BUG, |failure| failure.code())
}

impl Failure {
    fn code(self) -> u8 {
        match self {
            Self::Door | Self::Output => 73,
            Self::Usage => USAGE,
        }
    }
}
