//! `discordd serve`: the daemon.

use anyhow::Context;

use super::{Failure, flags::Flags};
use crate::{
    config::{Environment, Loaded, Settings, Unusable},
    daemon::{self, Source},
    listener::{self, Door},
    log,
    threads::{self, Threads},
};

/// Messages that the sandbox keeps in each channel.
#[cfg(feature = "sandbox")]
const SANDBOX_HISTORY: usize = 1000;

/// Flags of the daemon. Each is over the same setting of the file and the environment.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  discordd serve --sandbox
  discordd serve --unix /run/discordd/discordd.sock --tcp ''")]
pub(super) struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Send every call to a stand-in for Discord inside this process: for trying things out.
    #[cfg(feature = "sandbox")]
    #[arg(long)]
    sandbox: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let Loaded {
        settings,
        unknown_variables,
    } = Settings::load(args.flags.file(), &environment, &args.flags.given()).context(Unusable)?;
    log::start(&settings.log).context(Unusable)?;
    for name in unknown_variables {
        tracing::warn!(name, "this variable is no setting");
    }
    raise_descriptor_limit();
    let doors = listener::open(&settings, &environment).context(Failure::Door)?;
    let source = source(args, settings.clone(), environment);
    let runtime = threads::runtime()?;
    let (threads, others) = Threads::start(&runtime)?;
    let served = runtime.block_on(serve(args, settings, source, doors, threads));
    others.end();
    runtime.shutdown_background();
    served
}

/// Where the settings are read again.
fn source(args: &Args, begun_with: Settings, environment: Environment) -> Source {
    let (flags, variables) = (args.flags.clone(), environment.clone());
    let read = move || {
        let loaded = Settings::load(flags.file(), &variables, &flags.given())?;
        Ok(loaded.settings)
    };
    Source {
        begun_with,
        read: Box::new(read),
        environment,
    }
}

#[cfg_attr(
    not(feature = "sandbox"),
    expect(unused_variables, reason = "the one flag it reads is the sandbox's")
)]
async fn serve(
    args: &Args,
    settings: Settings,
    source: Source,
    doors: Vec<Door>,
    threads: Threads,
) -> anyhow::Result<()> {
    #[cfg(feature = "sandbox")]
    if args.sandbox {
        return in_sandbox(settings, source, doors, threads).await;
    }
    let base = &settings.discord.base_url;
    let upstream = if base.is_discord() {
        "discord".to_owned()
    } else {
        base.host().to_owned()
    };
    daemon::run(settings, source, doors, threads, upstream).await
}

/// Runs the daemon with a stand-in for Discord in the same process.
#[cfg(feature = "sandbox")]
async fn in_sandbox(
    mut settings: Settings,
    source: Source,
    doors: Vec<Door>,
    threads: Threads,
) -> anyhow::Result<()> {
    use tokio_util::{sync::CancellationToken, task::TaskTracker};

    use super::welcome;
    use crate::sandbox::{Options, Sandbox};

    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    let options = Options {
        http: (std::net::Ipv4Addr::LOCALHOST, 0).into(),
        tls: None,
        any_token: false,
        history: SANDBOX_HISTORY,
        rate_limits: false,
    };
    let sandbox = Sandbox::start(&options, &stop, &tracker)?;
    settings.discord.base_url = format!("http://{}", sandbox.http)
        .parse()
        .map_err(anyhow::Error::msg)?;
    welcome::print(&sandbox, &doors);
    tracing::warn!("calls go to the sandbox in this process, not to Discord");
    daemon::run(settings, source, doors, threads, "sandbox".to_owned()).await?;
    stop.cancel();
    Ok(())
}

/// Takes as many descriptors as the system lets it have: a call under way needs three.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(err) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%err, "the descriptor limit stays as it is");
    }
}
