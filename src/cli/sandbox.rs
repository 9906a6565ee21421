//! `discordd sandbox`: runs the stand-in for Discord's API until it is told to end.
//!
//! Its standard output is its product: the addresses, the bots and their tokens.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sandbox::{Bot, Channel, Options, Sandbox};

/// How long the connections have to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs a stand-in for Discord's REST API on this machine, to try discordd without Discord.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  discordd sandbox
  discordd sandbox --tls 127.0.0.1:9443 --ca-file ca.pem --json")]
pub(super) struct Args {
    /// Address for plain HTTP; port 0 lets the kernel choose.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9190")]
    http: SocketAddr,
    /// Address for HTTPS, under a certificate of its own; off unless given.
    #[arg(long, value_name = "ADDR")]
    tls: Option<SocketAddr>,
    /// File to write the certificate authority to, in PEM, for clients of the HTTPS address.
    #[arg(long, value_name = "PATH", requires = "tls")]
    ca_file: Option<PathBuf>,
    /// Take every well-formed token for that of a bot in the guild.
    #[arg(long)]
    any_token: bool,
    /// Messages kept in each channel; the oldest are dropped.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    history: usize,
    /// Limit how often a bot may ask, as Discord does.
    #[arg(long)]
    rate_limits: bool,
    /// Print one line of JSON instead of a text.
    #[arg(long)]
    json: bool,
}

/// Runs the command until SIGTERM or SIGINT.
///
/// # Errors
///
/// When an address cannot be bound, or the output or the file cannot be written.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    // Listened for before anything is printed: who read the line may end the process.
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let options = Options {
        http: args.http,
        tls: args.tls,
        any_token: args.any_token,
        history: args.history,
        rate_limits: args.rate_limits,
    };
    let stop = CancellationToken::new();
    let tracker = TaskTracker::new();
    let sandbox = Sandbox::start(&options, &stop, &tracker)?;
    if let (Some(path), Some(pem)) = (&args.ca_file, &sandbox.certificate_authority) {
        fs::write(path, pem).with_context(|| format!("write {}", path.display()))?;
    }
    let text = if args.json {
        format!("{}\n", to_json(&sandbox))
    } else {
        to_text(&sandbox, args.ca_file.as_ref())
    };
    print(&text).context("write to standard output")?;

    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
    stop.cancel();
    tracker.close();
    // What does not end in time ends with the runtime.
    let _ = tokio::time::timeout(STOP_TIMEOUT, tracker.wait()).await;
    Ok(())
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn to_json(sandbox: &Sandbox) -> Value {
    let workshop = &sandbox.workshop;
    let roles = workshop.roles.iter();
    let roles = roles.map(|role| json!({ "id": role.id, "name": role.name }));
    json!({
        "http": sandbox.http,
        "tls": sandbox.tls,
        "bots": bots(&sandbox.bots),
        "more_bots": bots(&sandbox.more_bots),
        "guild_id": sandbox.guild_id,
        "channels": channels(&sandbox.channels),
        "workshop": {
            "guild_id": workshop.guild_id,
            "channels": channels(&workshop.channels),
            "roles": roles.collect::<Value>(),
        },
    })
}

fn bots(bots: &[Bot]) -> Value {
    let bots = bots.iter();
    bots.map(|bot| json!({ "id": bot.id, "name": bot.name, "token": bot.token }))
        .collect()
}

fn channels(channels: &[Channel]) -> Value {
    let channels = channels.iter();
    channels
        .map(|channel| json!({ "id": channel.id, "name": channel.name }))
        .collect()
}

fn to_text(sandbox: &Sandbox, ca_file: Option<&PathBuf>) -> String {
    let mut lines = vec![
        "This is not Discord: a stand-in for its REST API on this machine.".to_owned(),
        "What is posted here is seen by nobody and gone when this ends.".to_owned(),
        String::new(),
        format!("http      http://{}", sandbox.http),
    ];
    if let Some(tls) = sandbox.tls {
        // The certificate is for localhost and the loopback addresses.
        lines.push(format!("https     https://localhost:{}", tls.port()));
    }
    if let Some(path) = ca_file {
        lines.push(format!("ca file   {}", path.display()));
    }
    for bot in sandbox.bots.iter().chain(&sandbox.more_bots) {
        lines.push(format!("bot       {:<10} {}", bot.name, bot.token));
    }
    lines.push(format!("guild     {}", sandbox.guild_id));
    for channel in &sandbox.channels {
        lines.push(format!("channel   {:<10} {}", channel.name, channel.id));
    }
    if let (Some(bot), Some(channel)) = (sandbox.bots.first(), sandbox.channels.first()) {
        let (http, token, id) = (sandbox.http, &bot.token, channel.id);
        lines.extend([
            String::new(),
            "Post a message:".to_owned(),
            format!("  curl http://{http}/api/v10/channels/{id}/messages \\"),
            format!("    -H 'Authorization: Bot {token}' --json '{{\"content\":\"hello\"}}'"),
        ]);
    }
    lines.push(String::new());
    lines.join("\n")
}
