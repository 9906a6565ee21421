//! `discordd health`: asks the running daemon how it is, for container and systemd health checks.

use std::{process::ExitCode, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    address::Whereabouts,
    call::{ErrorObject, HINT},
    client::{self, Answer, Trouble},
    output,
};
use crate::config::Environment;

const METHOD: &str = "health";
/// What a daemon that was reached and is not healthy ends with.
const UNHEALTHY: u8 = 1;
/// What a daemon that cannot be reached ends with.
const UNREACHABLE: u8 = 2;

/// Flags of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --socket or --url the daemon is asked at the socket that its settings name, or the usual
ones, and if nobody is there at listen.tcp.

Exit codes: 0 it is healthy, and takes calls; 1 it was reached and is stopping, answers with an error
or not in time; 2 it could not be reached; 64 usage; 78 settings. With --live whatever answers in time
ends with 0: a daemon that is stopping or refuses to tell is not to be restarted.

Examples:
  discordd health
  discordd health --live --socket /run/discordd/discordd.sock
  discordd health --json --url https://discord-api.example --secret-file /run/secrets/discordd")]
pub(super) struct Args {
    /// Print the whole answer as JSON, or the error object.
    #[arg(long)]
    json: bool,
    /// Ask only whether it lives, not whether it takes calls.
    #[arg(long)]
    live: bool,
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
    let daemons = args.daemon.daemons(&Environment::of_process())?;
    match client::call(&daemons, METHOD, None, args.timeout)? {
        Ok(Answer::Result(result)) => args.tell(&result),
        Ok(Answer::Error(error)) => {
            if args.json {
                output::print_json(error.get())?;
            }
            output::tell("discordd: the daemon answered with an error");
            Ok(args.unhealthy())
        }
        Err(trouble) => {
            if args.json {
                let error = ErrorObject::of(METHOD, &trouble, None, HINT);
                let error = serde_json::to_string(&error).expect("texts and numbers are JSON");
                output::print_json(&error)?;
            }
            output::tell(&format!("discordd: {trouble}"));
            let reached = !matches!(trouble, Trouble::Unreachable { .. });
            Ok(if reached { UNHEALTHY } else { UNREACHABLE }.into())
        }
    }
}

impl Args {
    /// Prints what the daemon says of itself.
    fn tell(&self, result: &RawValue) -> anyhow::Result<ExitCode> {
        let Ok(health) = serde_json::from_str::<Health>(result.get()) else {
            output::tell("discordd: what answered is no discordd");
            return Ok(UNHEALTHY.into());
        };
        if self.json {
            output::print_json(result.get())?;
        } else {
            output::print(format!("{}\n", output::shown(&health.line())).as_bytes())?;
        }
        Ok(if health.status == "healthy" {
            ExitCode::SUCCESS
        } else {
            self.unhealthy()
        })
    }

    /// What a daemon ends with that answers, and does not say that it takes calls.
    fn unhealthy(&self) -> ExitCode {
        if self.live { 0 } else { UNHEALTHY }.into()
    }
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
