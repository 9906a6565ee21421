//! `discordd config`: the settings in force, whether they can be used, and the commented defaults.

use std::fs::File;

use anyhow::Context as _;

use super::{flags::Flags, output};
use crate::{
    config::{self, Environment, Settings, Unusable},
    listener, log,
};

/// The file that lists every setting; a test holds it equal to the code.
const DEFAULTS: &str = include_str!("../../config/discordd.toml");

/// What is asked of the settings.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  discordd config show
  discordd config check --config /etc/discordd/config.toml
  discordd config default > config.toml")]
pub(super) enum Command {
    /// Print the settings in force, and where each comes from.
    #[command(after_help = "\
Passwords are left out. Exit codes: 0 done; 64 usage; 78 the settings cannot be used.

Example: discordd config show --config config.toml")]
    Show(Flags),
    /// Tell whether the daemon would take the settings.
    #[command(after_help = "\
Exit codes: 0 they can be used; 64 usage; 78 they cannot, and why.

Example: discordd config check --config config.toml")]
    Check(Flags),
    /// Print a file with every setting, its default and its unit.
    #[command(after_help = "Example: discordd config default > config.toml")]
    Default,
}

/// Does what was asked.
///
/// # Errors
///
/// When the settings cannot be used, or the output cannot be written.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Show(flags) => show(flags),
        Command::Check(flags) => check(flags),
        Command::Default => output::print(DEFAULTS.as_bytes()),
    }
}

fn show(flags: &Flags) -> anyhow::Result<()> {
    let text = config::show(flags.file(), &Environment::of_process(), &flags.given());
    output::print(text.context(Unusable)?.as_bytes())
}

fn check(flags: &Flags) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let loaded = Settings::load(flags.file(), &environment, &flags.given());
    let loaded = loaded.context(Unusable)?;
    listener::check(&loaded.settings, &environment).context(Unusable)?;
    log::start(&loaded.settings.log).context(Unusable)?;
    if let Some(file) = &loaded.settings.discord.ca_file {
        File::open(file)
            .map_err(|err| anyhow::anyhow!("discord.ca_file: read {}: {err}", file.display()))
            .context(Unusable)?;
    }
    for name in loaded.unknown_variables {
        output::tell(&format!("discordd: {name}: this variable is no setting"));
    }
    output::print(b"ok: the settings can be used\n")
}
