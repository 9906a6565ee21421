//! `discordd identities`: which bot each token is, proved by a test message of each.
//!
//! A token is read from a variable and goes to the daemon only; no output holds one.

use std::{process::ExitCode, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{
    Failure,
    address::Whereabouts,
    call::{ErrorObject, HINT},
    client::{self, Answer, Daemon, Trouble},
    output,
    params::new_nonce,
};
use crate::config::Environment;

/// The operation that names a bot by a message of it.
const METHOD: &str = "discord.test";
/// The variables that are looked at when none is named, as far as they are set.
const VARIABLES: [&str; 2] = ["DISCORD_TOKEN", "DISCORD_TOKEN2"];
/// What a token that is no bot, or the same bot as another, ends with.
const FAILED: u8 = 1;
/// What a daemon that cannot be reached ends with.
const UNREACHABLE: u8 = 2;

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "\
Each token's bot posts a message that names it, in the first text channel that it may post in.

Without --socket or --url the daemon is asked at the socket that its settings name, or the usual
ones, and if nobody is there at listen.tcp.

Exit codes: 0 every token is a bot of its own; 1 a token is refused, its message cannot be posted, or
two tokens are the same bot; 2 the daemon could not be reached; 64 usage; 78 settings.

Examples:
  discordd identities --dry-run
  discordd identities --token-env RESEARCH_TOKEN --token-env TESTING_TOKEN --json")]
pub(super) struct Args {
    /// Variable with a bot's token, repeated for each; by default `DISCORD_TOKEN` and
    /// `DISCORD_TOKEN2`.
    #[arg(long, value_name = "NAME")]
    token_env: Vec<String>,
    /// Guild to post in; by default the first of each bot's guilds that it may post in.
    #[arg(long, alias = "server-id", value_name = "ID")]
    guild_id: Option<String>,
    /// Post nothing, and only tell which bots they are and where they would post.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// How long to wait for each answer.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = client::parse_timeout)]
    timeout: Duration,
    #[command(flatten)]
    daemon: Whereabouts,
}

/// What came of one token.
#[derive(Serialize)]
struct Identity {
    variable: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The daemon's error object.
    Error(Box<RawValue>),
    /// The result of `discord.test`.
    Bot(Box<RawValue>),
}

/// A bot, as far as the table tells.
#[derive(Deserialize)]
struct Bot {
    #[serde(rename = "bot_info")]
    name: String,
    #[serde(rename = "bot_id")]
    id: String,
    channel_name: String,
    guild_name: Option<String>,
    message_id: Option<String>,
}

/// An error, as far as the table tells.
#[derive(Deserialize)]
struct Said {
    code: i64,
    message: String,
}

/// Asks for each token, and prints what came back.
///
/// # Errors
///
/// When no token is there, the settings cannot be used, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let tokens = tokens(&args.token_env, &environment)?;
    let daemons = args.daemon.daemons(&environment)?;
    let mut identities = Vec::new();
    let mut failed = FAILED;
    for (variable, token) in tokens {
        // Made here and not by the daemon, so that it is known even if no answer comes.
        let nonce = new_nonce(METHOD);
        let outcome = match ask(args, &daemons, &token, nonce.as_deref())? {
            Ok(Answer::Error(error)) => Outcome::Error(error),
            Ok(Answer::Result(result)) => Outcome::Bot(result),
            Err(trouble) => {
                if matches!(trouble, Trouble::Unreachable { .. }) {
                    failed = UNREACHABLE;
                }
                let error = ErrorObject::of(METHOD, &trouble, nonce, HINT);
                Outcome::Error(to_raw_value(&error).expect("texts and numbers are JSON"))
            }
        };
        identities.push(Identity { variable, outcome });
    }
    if args.json {
        let json = serde_json::to_string(&identities).expect("texts and JSON are JSON");
        output::print_json(&json)?;
    } else {
        output::print(table(&identities).as_bytes())?;
    }
    let distinct = tell_twins(&identities);
    let all_bots = identities.iter().all(|it| it.bot().is_some());
    Ok(if distinct && all_bots { 0 } else { failed }.into())
}

/// Reads the tokens: all that are named, or those of the usual ones that are set.
fn tokens(named: &[String], environment: &Environment) -> anyhow::Result<Vec<(String, String)>> {
    let mut tokens = Vec::new();
    let usual = VARIABLES.map(str::to_owned);
    for variable in if named.is_empty() { &usual } else { named } {
        match environment.get(variable) {
            Some(token) => tokens.push((variable.clone(), token.to_owned())),
            None if named.is_empty() => {}
            None => {
                let missing = anyhow::anyhow!("--token-env {variable}: it is not set");
                return Err(missing.context(Failure::Usage));
            }
        }
    }
    if tokens.is_empty() {
        let [first, second] = VARIABLES;
        let missing = anyhow::anyhow!("set {first} or {second} to a bot's token, or --token-env");
        return Err(missing.context(Failure::Usage));
    }
    Ok(tokens)
}

fn ask(
    args: &Args,
    daemons: &[Daemon],
    token: &str,
    nonce: Option<&str>,
) -> anyhow::Result<Result<Answer, Trouble>> {
    let params = json!({"discord_token": token, "guild_id": args.guild_id,
        "dry_run": args.dry_run, "nonce": nonce});
    let params = to_raw_value(&params).expect("texts are JSON");
    client::call(daemons, METHOD, Some(&params), args.timeout)
}

/// Tells which tokens are the same bot; true if none are.
fn tell_twins(identities: &[Identity]) -> bool {
    let mut distinct = true;
    for (index, one) in identities.iter().enumerate() {
        let Some(bot) = one.bot() else { continue };
        let same = |other: &&Identity| other.bot().is_some_and(|it| it.id == bot.id);
        if let Some(other) = identities[..index].iter().find(same) {
            distinct = false;
            let (first, second) = (&other.variable, &one.variable);
            let name = bot.name;
            output::tell(&format!(
                "discordd: {first} and {second} are the same bot, {name}"
            ));
        }
    }
    distinct
}

/// One line for each token.
fn table(identities: &[Identity]) -> String {
    let head = ["VARIABLE", "BOT", "ID", "GUILD", "CHANNEL", "MESSAGE"].map(str::to_owned);
    let mut rows = vec![(head, None)];
    rows.extend(identities.iter().map(Identity::row));
    let width = |column: usize| {
        rows.iter()
            .map(|(row, _)| row[column].chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..6)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for (row, error) in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let gap = width + 2 - cell.chars().count();
            line.extend(std::iter::repeat_n(' ', gap));
            if let Some(error) = error {
                line.push_str(error);
                break;
            }
        }
        text.push_str(&output::shown(line.trim_end()));
        text.push('\n');
    }
    text
}

impl Identity {
    fn bot(&self) -> Option<Bot> {
        match &self.outcome {
            Outcome::Bot(result) => serde_json::from_str(result.get()).ok(),
            Outcome::Error(_) => None,
        }
    }

    /// Its cells, and what stands in the place of those behind the first if it is no bot.
    fn row(&self) -> ([String; 6], Option<String>) {
        let variable = self.variable.clone();
        if let Some(bot) = self.bot() {
            let channel = format!("#{}", bot.channel_name);
            let (guild, message) = (bot.guild_name, bot.message_id);
            let dash = || "-".to_owned();
            let (guild, message) = (guild.unwrap_or_else(dash), message.unwrap_or_else(dash));
            return ([variable, bot.name, bot.id, guild, channel, message], None);
        }
        let error = match &self.outcome {
            Outcome::Error(error) => serde_json::from_str::<Said>(error.get()).ok(),
            Outcome::Bot(_) => None,
        };
        let error = error.map_or_else(
            || "what the daemon answered is no bot".to_owned(),
            |said| format!("{} ({})", said.message, said.code),
        );
        let mut row: [String; 6] = Default::default();
        row[0] = variable;
        (row, Some(error))
    }
}
