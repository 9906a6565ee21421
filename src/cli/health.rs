//! `discordd health`: asks the running daemon how it is, for container and systemd health checks.

use std::{process::ExitCode, time::Duration};

use serde::Deserialize;

use super::{
    address::Whereabouts,
    client::{self, Answer, Trouble},
    output,
};
use crate::config::Environment;

/// What a daemon that was reached and is not healthy ends with.
const UNHEALTHY: u8 = 1;
/// What a daemon that cannot be reached ends with.
const UNREACHABLE: u8 = 2;

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --socket or --url the daemon is asked at the socket that its settings name, or the usual
ones, and if nobody is there at listen.tcp.

Exit codes: 0 healthy; 1 it was reached and is stopping, answers with an error or not in time; 2 it
could not be reached; 64 usage; 78 settings.

Examples:
  discordd health
  discordd health --socket /run/discordd/discordd.sock --json")]
pub(super) struct Args {
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
    /// How long to wait for the answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = client::parse_timeout)]
    timeout: Duration,
    #[command(flatten)]
    daemon: Whereabouts,
}

/// What the daemon says of itself, as far as the line tells it.
#[derive(Deserialize)]
struct Health {
    status: String,
    version: String,
    uptime_seconds: u64,
    in_flight: u64,
    upstream: String,
    #[serde(default)]
    guard: Guard,
}

/// What the daemon's guard says.
#[derive(Default, Deserialize)]
struct Guard {
    status: String,
}

/// Asks, and prints what came back.
///
/// # Errors
///
/// When the settings cannot be used, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let addresses = args.daemon.addresses(&Environment::of_process())?;
    let result = match client::call(&addresses, "health", None, args.timeout)? {
        Ok(Answer::Result(result)) => result,
        Ok(Answer::Error(error)) => {
            if args.json {
                output::print_json(error.get())?;
            }
            output::tell("discordd: the daemon answered with an error");
            return Ok(UNHEALTHY.into());
        }
        Err(trouble) => {
            output::tell(&format!("discordd: {trouble}"));
            let reached = !matches!(trouble, Trouble::Unreachable { .. });
            return Ok(if reached { UNHEALTHY } else { UNREACHABLE }.into());
        }
    };
    let Ok(health) = serde_json::from_str::<Health>(result.get()) else {
        output::tell("discordd: what answered is no discordd");
        return Ok(UNHEALTHY.into());
    };
    if args.json {
        output::print_json(result.get())?;
    } else {
        output::print(format!("{}\n", output::shown(&health.line())).as_bytes())?;
    }
    let healthy = health.status == "healthy";
    Ok(if healthy { 0 } else { UNHEALTHY }.into())
}

impl Health {
    fn line(&self) -> String {
        let up = humantime::format_duration(Duration::from_secs(self.uptime_seconds));
        let Self {
            status,
            version,
            in_flight,
            upstream,
            guard,
            ..
        } = self;
        let mut line = format!(
            "{status}, version {version}, up for {up}, calls under way: {in_flight}, upstream: {upstream}"
        );
        if !matches!(guard.status.as_str(), "" | "open") {
            line.push_str(", guard: ");
            line.push_str(&guard.status);
        }
        line
    }
}
