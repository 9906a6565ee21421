//! `discordd completions`: what a shell needs to complete the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, output};

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  discordd completions bash > ~/.local/share/bash-completion/completions/discordd
  discordd completions fish > ~/.config/fish/completions/discordd.fish")]
pub(super) struct Args {
    /// Shell to complete for.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    output::print(&script)
}
