//! `discordd mcp`: an MCP server for one bot, on standard input and output.
//!
//! It must print nothing but MCP; what else it has to say goes to the log.

use std::{fs, io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Failure,
    access::Access,
    address::parse_url,
    call::TOKEN_VARIABLE,
    client::{Address, Daemon},
    pass::{Bot, PassOn},
};
use crate::{
    config::{Environment, Limits, Loaded, Settings, Unusable},
    discord::{Exit, Token},
    log,
    metrics::{Framing, Metrics},
    operation::Hall,
    surface::{
        Caller, Rpc, Visitor,
        mcp::{self, Carry, Desk, Offer},
    },
};

/// The variable that the default guild comes from.
const GUILD_VARIABLE: &str = "DEFAULT_SERVER_ID";
/// How long what is known of calls that were cut may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "\
Needs no daemon: calls go to Discord from this process, as its settings say. It ends with its input
or a signal, when what was asked is answered, and at once with a second signal.

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
    /// Pass calls on to the daemon there: at a socket, as unix:PATH or a path with a / in it, or at
    /// a port, as http://HOST:PORT or https://HOST:PORT.
    #[arg(long, value_name = "SOCKET|URL", value_parser = parse_place)]
    connect: Option<Address>,
    /// File to read the settings from, instead of /etc/discordd/config.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten, next_help_heading = "With --connect")]
    access: Access,
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
    let daemon = args.daemon(&environment)?;
    let runtime = crate::threads::runtime()?;
    let served = runtime.block_on(serve(daemon, &settings, bot, offer, guild));
    // A read of the input that is still waited for is left behind.
    runtime.shutdown_background();
    served
}

async fn serve(
    daemon: Option<Daemon>,
    settings: &Settings,
    bot: Bot,
    offer: Offer,
    guild: Option<String>,
) -> anyhow::Result<()> {
    let limits = &settings.limits;
    let (ended, calls) = (CancellationToken::new(), TaskTracker::new());
    let stops = Stops::listen().context("listen for signals")?;
    let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
    let caller = Caller::new(Visitor::own(), Framing::Mcp, limits.calls, bot.token());
    let carrier: Arc<dyn Carry> = match daemon {
        Some(daemon) => Arc::new(PassOn {
            daemon: [daemon].into(),
            bot: Arc::new(bot),
            calls: calls.clone(),
            call_timeout: limits.call_timeout,
            cut: cut.clone(),
        }),
        None => Arc::new(own(settings, &ended, &calls)?),
    };
    let desk = Desk::new(carrier, offer, Some(caller), guild);
    // A task, as nothing may be said any more of what is cut.
    let served = tokio::spawn(serve_calls(desk, limits.clone(), stop.clone(), calls));
    let served = tokio::select! {
        served = served => served?,
        () = told_to_end(stops, &stop, &cut, limits.drain_timeout) => Ok(()),
    };
    ended.cancel();
    served
}

/// Answers what is asked, and waits for what goes on behind it.
async fn serve_calls(
    desk: Desk,
    limits: Limits,
    stop: CancellationToken,
    calls: TaskTracker,
) -> anyhow::Result<()> {
    mcp::serve(desk, limits.request_bytes.bytes(), stop).await?;
    // What was cancelled is carried out all the same.
    calls.close();
    if timeout(limits.drain_timeout, calls.wait()).await.is_err() {
        tracing::warn!("calls were cut: their time was over");
    }
    Ok(())
}

/// Ends when the process may not go on: told to end once it has until `drain_timeout`, told twice
/// no time at all.
async fn told_to_end(
    mut stops: Stops,
    stop: &CancellationToken,
    cut: &CancellationToken,
    drain_timeout: Duration,
) {
    stops.next().await;
    stop.cancel();
    let time_is_over = async {
        sleep(drain_timeout).await;
        cut.cancel();
        sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = time_is_over => tracing::warn!("calls were cut: their time was over"),
        () = stops.next() => tracing::warn!("calls were cut: told twice"),
    }
}

/// Prepares to carry calls out in this process.
fn own(settings: &Settings, ended: &CancellationToken, calls: &TaskTracker) -> anyhow::Result<Rpc> {
    let metrics = Arc::new(Metrics::default());
    let far_side = TaskTracker::new();
    let hall = Arc::new(Hall {
        exit: Exit::open(&settings.discord, &metrics, ended, &far_side)?,
        metrics,
        upstream: settings.discord.base_url.host().to_owned(),
    });
    Ok(Rpc::new(hall, settings.limits.clone(), calls.clone()))
}

/// The signals that end the process.
struct Stops {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
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
            (token, whence)
        } else if let Some(token) = environment.get(&self.token_env) {
            (token.to_owned(), self.token_env.clone())
        } else {
            tracing::warn!(
                variable = self.token_env,
                "no token: every call will be refused"
            );
            return Ok(None);
        };
        // A line end came with it where a file was read, here or by a shell.
        let token = token.trim();
        Token::parse(token)
            .context(whence)
            .context(Failure::Usage)?;
        Ok(Some(token.to_owned()))
    }

    /// The daemon that calls are passed on to, if that is wanted.
    fn daemon(&self, environment: &Environment) -> anyhow::Result<Option<Daemon>> {
        let Some(address) = &self.connect else {
            let useless =
                anyhow::anyhow!("without --connect no daemon is shown a secret, or trusted");
            let wanted = self.access == Access::default();
            return if wanted {
                Ok(None)
            } else {
                Err(useless.context(Failure::Usage))
            };
        };
        self.access
            .daemon(address.clone().into(), environment)
            .map(Some)
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
    if let Some((scheme, rest)) = text.split_once("://") {
        // The daemon's MCP endpoint is at the same place.
        let origin = rest.strip_suffix("/mcp").unwrap_or(rest);
        return parse_url(&format!("{}://{origin}", scheme.to_ascii_lowercase()))
            .map(Address::Http);
    }
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Ok(Address::Unix(path.into())),
        None if text.contains('/') => Ok(Address::Unix(text.into())),
        Some(_) | None => Err(
            "unix:PATH, a path with a /, http://HOST:PORT or https://HOST:PORT is wanted"
                .to_owned(),
        ),
    }
}
