//! `discordd man`: the manual pages.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Cli, Failure, output};

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  discordd man | man -l -
  discordd man --dir ~/.local/share/man/man1")]
pub(super) struct Args {
    /// Write a page for each command into this folder, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the main page, or writes all of them.
///
/// # Errors
///
/// When a page cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let Some(folder) = &args.dir else {
        let mut page = Vec::new();
        // The pages of `--dir` have none for `help` either.
        let command = Cli::command().disable_help_subcommand(true);
        Man::new(command).render(&mut page)?;
        return output::print(&page);
    };
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written
        .with_context(|| format!("write {}", folder.display()))
        .context(Failure::Output)
}
