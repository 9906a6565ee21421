//! `discordd call`: calls a method of the running daemon.
//!
//! Its standard output is the result or the error object, and nothing else; the token is in neither.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Failure,
    address::Whereabouts,
    client::{self, Answer, Trouble},
    output,
    params::{Params, entry, new_nonce},
};
use crate::{config::Environment, discord::Delivered, operation::Effect};

/// How the names of the methods begin that take a token.
const OF_DISCORD: &str = "discord.";
/// The variable that the token comes from.
pub(super) const TOKEN_VARIABLE: &str = "DISCORD_TOKEN";
/// What a call that came back with an error ends with, and one whose fate is not known.
const FAILED: u8 = 1;
/// What a call that never left ends with.
const UNREACHABLE: u8 = 2;

/// What to do where there is no daemon.
pub(super) const HINT: &str =
    "start it with discordd serve, or say where it is with --socket or --url";

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "\
A value is taken as it stands where the param is a text, such as content; elsewhere it is JSON if it
parses as such, and else a text. --params - reads from standard input.

Without --socket or --url the daemon is asked at the socket that its settings name, or the usual
ones, and if nobody is there at listen.tcp.

The token comes from DISCORD_TOKEN and goes only to methods that begin with \"discord.\". It may also
be given as discord_token=..., but then every user of this machine can read it in the list of
processes.

The result, or the error object, is printed as JSON. Exit codes: 0 done; 1 the call came back with an
error, or it was sent and has no answer; 2 the daemon could not be reached and nothing was
sent; 64 usage; 78 settings.

Examples:
  discordd call health
  DISCORD_TOKEN=... discordd call discord.sendMessage channel_id=1184031022407147523 content=hi
  discordd call discord.sendMessage --params - --socket /run/discordd/discordd.sock < call.json")]
pub(super) struct Args {
    /// Method to call, such as discord.sendMessage.
    method: String,
    /// Params of the call.
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
    /// Params as a JSON object or array; - reads them from standard input.
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// How long to wait for the answer.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = client::parse_timeout)]
    timeout: Duration,
    #[command(flatten)]
    daemon: Whereabouts,
}

/// The daemon's error object, as far as people are told of it.
#[derive(Deserialize)]
struct Said {
    code: i64,
    message: String,
    #[serde(default)]
    data: Facts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Facts {
    delivered: Option<String>,
    hint: Option<String>,
    nonce: Option<String>,
    path: Option<String>,
    retry_after_ms: Option<u64>,
}

/// An error object of our own, spelled as the daemon spells its.
#[derive(Serialize)]
pub(super) struct ErrorObject {
    code: u16,
    message: String,
    data: Details,
}

#[derive(Serialize)]
struct Details {
    kind: &'static str,
    retryable: bool,
    delivered: Delivered,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    hint: String,
}

/// Calls, and prints what came back.
///
/// # Errors
///
/// When the command line or the settings cannot be used, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let from_stdin;
    let json = match args.params.as_deref() {
        Some("-") => {
            let read = std::io::read_to_string(std::io::stdin().lock());
            from_stdin = read
                .context("--params: read standard input")
                .context(Failure::Usage)?;
            Some(from_stdin.as_str())
        }
        given => given,
    };
    let method = args.method.as_str();
    let params = Params::read(method, json, &args.words);
    let mut params = params.context(Failure::Usage)?;
    if method.starts_with(OF_DISCORD) {
        params.put_token(environment.get(TOKEN_VARIABLE));
    }
    // Made here and not by the daemon, so that it is known even if no answer comes.
    params.put_if_missing("nonce", || new_nonce(method));
    let daemons = args.daemon.daemons(&environment)?;
    match client::call(&daemons, method, Some(&params.json()), args.timeout)? {
        Ok(Answer::Result(result)) => {
            output::print_json(result.get())?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Answer::Error(error)) => refused(&error),
        Err(trouble) => unanswered(method, &trouble, params.nonce()),
    }
}

/// Prints the daemon's error object, and what it says in words.
fn refused(error: &RawValue) -> anyhow::Result<ExitCode> {
    output::print_json(error.get())?;
    match serde_json::from_str::<Said>(error.get()) {
        Ok(said) => tell(&said),
        Err(_) => output::tell("discordd: the call came back with an error"),
    }
    Ok(FAILED.into())
}

/// Prints an error object for a call that has no answer, and what it says in words.
fn unanswered(method: &str, trouble: &Trouble, nonce: Option<String>) -> anyhow::Result<ExitCode> {
    let object = ErrorObject::of(method, trouble, nonce, HINT);
    let json = serde_json::to_string(&object).expect("texts and numbers are JSON");
    output::print_json(&json)?;
    tell(&serde_json::from_str(&json).expect("it was made so above"));
    let reached = !matches!(trouble, Trouble::Unreachable { .. });
    Ok(if reached { FAILED } else { UNREACHABLE }.into())
}

fn tell(said: &Said) {
    output::tell(&format!("discordd: {} ({})", said.message, said.code));
    let facts = &said.data;
    let without_token = facts.path.as_deref() == Some("discord_token");
    let wait = facts.retry_after_ms.map(Duration::from_millis);
    let wait = wait.map(|wait| humantime::format_duration(wait).to_string());
    let hint = without_token.then(|| format!("set {TOKEN_VARIABLE} to a bot's token"));
    for (name, fact) in [
        ("delivered", &facts.delivered),
        ("nonce", &facts.nonce),
        ("retry after", &wait),
        ("hint", if hint.is_some() { &hint } else { &facts.hint }),
    ] {
        if let Some(fact) = fact {
            output::tell(&format!("  {name}: {fact}"));
        }
    }
}

impl ErrorObject {
    /// Tells what is known of a call that has no answer; `where_it_is` is the hint for one that
    /// reached no daemon.
    pub(super) fn of(
        method: &str,
        trouble: &Trouble,
        nonce: Option<String>,
        where_it_is: &str,
    ) -> Self {
        let (code, kind) = match trouble {
            Trouble::Lost { .. } | Trouble::Unreachable { .. } => (503, "unavailable"),
            Trouble::TimedOut { .. } => (504, "timed_out"),
            Trouble::Unreadable { .. } => (502, "bad_answer"),
        };
        let data = if matches!(trouble, Trouble::Unreachable { .. }) {
            Details::new(kind, Delivered::No, None, where_it_is.to_owned())
        } else {
            Details::of_sent(kind, method, nonce)
        };
        let message = trouble.to_string();
        Self {
            code,
            message,
            data,
        }
    }
}

impl Details {
    fn new(kind: &'static str, delivered: Delivered, nonce: Option<String>, hint: String) -> Self {
        Self {
            kind,
            retryable: delivered == Delivered::No || nonce.is_some(),
            delivered,
            nonce,
            hint,
        }
    }

    /// What is known of a call that was sent and not answered.
    fn of_sent(kind: &'static str, method: &str, nonce: Option<String>) -> Self {
        let changes = entry(method).is_none_or(|entry| entry.effect == Effect::Posts);
        let (delivered, nonce, hint) = match nonce {
            _ if !changes => (
                Delivered::No,
                None,
                "repeat the call: it changes nothing".to_owned(),
            ),
            Some(nonce) => {
                let hint =
                    format!("repeat the call with nonce={nonce}: it will not be posted twice");
                (Delivered::Unknown, Some(nonce), hint)
            }
            None => {
                let hint = "look whether it was carried out before repeating it".to_owned();
                (Delivered::Unknown, None, hint)
            }
        };
        Self::new(kind, delivered, nonce, hint)
    }
}
