//! `discordd mcp`: an MCP server for one bot, on standard input and output.
//!
//! It must print nothing but MCP; what else it has to say goes to the log.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Failure,
    address::parse_url,
    call::TOKEN_VARIABLE,
    client::Address,
    pass::{Bot, PassOn},
};
use crate::{
    config::{Environment, Loaded, Settings, Unusable},
    discord::{Exit, Token},
    log,
    metrics::Metrics,
    operation::Hall,
    surface::{
        Caller, Rpc, Visitor,
        mcp::{self, Carry, Desk, Offer},
    },
};

/// The variable that the default guild comes from.
const GUILD_VARIABLE: &str = "DEFAULT_SERVER_ID";

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "\
Needs no daemon: calls go to Discord from this process, as its settings say. It ends with its input,
when what was asked is answered.

Examples:
  DISCORD_TOKEN=... discordd mcp
  discordd mcp --token-file /run/secrets/scout --guild-id 1184031022407147520 --read-only
  DISCORD_TOKEN=... discordd mcp --connect /run/discordd/discordd.sock")]
pub(super) struct Args {
    /// Variable that holds the bot's token.
    #[arg(long, value_name = "NAME", default_value = TOKEN_VARIABLE)]
    token_env: String,
    /// File that holds the bot's token.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// The bot's token itself; every user of this machine can read it in the list of processes.
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["token_env", "token_file"])]
    token: Option<String>,
    /// Guild that is meant where a call names neither a guild nor a channel; by default the
    /// variable `DEFAULT_SERVER_ID`.
    #[arg(long, visible_alias = "server-id", value_name = "ID", value_parser = parse_guild)]
    guild_id: Option<String>,
    /// Offer these tools only.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    tools: Option<Vec<String>>,
    /// Offer no tool that changes something.
    #[arg(long)]
    read_only: bool,
    /// Pass calls on to the daemon at this socket or URL.
    #[arg(long, value_name = "SOCKET|URL", value_parser = parse_place)]
    connect: Option<Address>,
    /// File to read the settings from, instead of /etc/discordd/config.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves until the input ends.
///
/// # Errors
///
/// When the command line or the settings cannot be used.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let Loaded {
        settings,
        unknown_variables,
    } = Settings::load(args.config.as_deref(), &environment, &[]).context(Unusable)?;
    log::start(&settings.log).context(Unusable)?;
    for name in unknown_variables {
        tracing::warn!(name, "this variable is no setting");
    }
    let bot = Bot(args.token(&environment)?);
    let offer = Offer::new(args.tools.clone(), args.read_only).context(Failure::Usage)?;
    let guild = args.guild(&environment)?;
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(args, &settings, bot, offer, guild));
    // A read of the input that is still waited for is left behind.
    runtime.shutdown_background();
    served
}

async fn serve(
    args: &Args,
    settings: &Settings,
    bot: Bot,
    offer: Offer,
    guild: Option<String>,
) -> anyhow::Result<()> {
    let (ended, calls) = (CancellationToken::new(), TaskTracker::new());
    let caller = Caller::new(Visitor::own(), settings.limits.calls, bot.token());
    let carrier: Arc<dyn Carry> = match &args.connect {
        Some(daemon) => Arc::new(PassOn::new(daemon.clone(), bot, calls.clone())),
        None => Arc::new(own(settings, &ended, &calls)?),
    };
    let desk = Desk::new(carrier, offer, Some(caller), guild);
    let stop = stop_on_signals().context("listen for signals")?;
    mcp::serve(desk, settings.limits.request_bytes.bytes(), stop).await?;
    // What was cancelled or is not waited for is carried out all the same.
    calls.close();
    if timeout(settings.limits.drain_timeout, calls.wait())
        .await
        .is_err()
    {
        tracing::warn!("calls were cut: their time was over");
    }
    ended.cancel();
    Ok(())
}

/// Prepares to carry calls out in this process.
fn own(settings: &Settings, ended: &CancellationToken, calls: &TaskTracker) -> anyhow::Result<Rpc> {
    let hall = Arc::new(Hall {
        exit: Exit::open(&settings.discord, ended.clone(), &TaskTracker::new())?,
        metrics: Arc::new(Metrics::default()),
        upstream: settings.discord.base_url.host().to_owned(),
    });
    Ok(Rpc::new(hall, settings.limits.clone(), calls.clone()))
}

/// Gives what is cancelled when the process is told to end.
fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

impl Args {
    /// Finds the bot's token. A server without one still lists its tools, and says what it wants
    /// when one is called.
    fn token(&self, environment: &Environment) -> anyhow::Result<Option<String>> {
        let (token, whence) = if let Some(token) = &self.token {
            (token.clone(), "--token".to_owned())
        } else if let Some(file) = &self.token_file {
            let read = fs::read_to_string(file);
            let whence = format!("--token-file: {}", file.display());
            let token = read.context(whence.clone()).context(Failure::Usage)?;
            (token.trim().to_owned(), whence)
        } else if let Some(token) = environment.get(&self.token_env) {
            (token.to_owned(), self.token_env.clone())
        } else {
            tracing::warn!(
                variable = self.token_env,
                "no token: every call will be refused"
            );
            return Ok(None);
        };
        Token::parse(&token)
            .context(whence)
            .context(Failure::Usage)?;
        Ok(Some(token))
    }

    fn guild(&self, environment: &Environment) -> anyhow::Result<Option<String>> {
        let of_environment = || environment.get(GUILD_VARIABLE).map(parse_guild).transpose();
        match &self.guild_id {
            Some(guild) => Ok(Some(guild.clone())),
            None => of_environment()
                .map_err(anyhow::Error::msg)
                .context(GUILD_VARIABLE)
                .context(Failure::Usage),
        }
    }
}

fn parse_guild(text: &str) -> Result<String, String> {
    match text.parse::<std::num::NonZeroU64>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a snowflake is wanted, a positive number in decimal".to_owned()),
    }
}

fn parse_place(text: &str) -> Result<Address, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        // The daemon's MCP endpoint is at the same place.
        let origin = text.strip_suffix("/mcp").unwrap_or(text);
        parse_url(origin).map(Address::Http)
    } else {
        Ok(Address::Unix(text.into()))
    }
}
