//! A stand-in for Discord's REST API, to try the daemon and to test it, without Discord.
//!
//! It answers the few routes of <https://discord.com/developers/docs/reference> that the daemon
//! asks, with Discord's checks, codes and shapes. It must not be reached without being asked for,
//! and it sends nothing anywhere.

mod certificate;
mod channels;
mod error;
mod form;
mod guilds;
mod messages;
mod request;
mod routes;
mod serve;
mod snowflake;
mod token;
mod users;
mod world;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker, UserMarker};

use self::certificate::Identity;
use self::serve::Door;
use self::world::World;

/// How a sandbox is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address for plain HTTP; port 0 is one of the kernel's choice.
    pub http: SocketAddr,
    /// Address for HTTPS, if it is wanted; port 0 is one of the kernel's choice.
    pub tls: Option<SocketAddr>,
    /// Takes every well-formed token for that of a bot in the guild.
    pub any_token: bool,
    /// Messages kept in each channel; the oldest are dropped.
    pub history: usize,
}

/// A bot of the sandbox. Its `Debug` leaves the token out.
#[derive(Clone)]
pub struct Bot {
    /// The bot's user id.
    pub id: Id<UserMarker>,
    /// The bot's username.
    pub name: String,
    /// The bot's token, another one at each start.
    pub token: String,
}

impl fmt::Debug for Bot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Bot")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A channel of the sandbox.
#[derive(Debug, Clone)]
pub struct Channel {
    /// The channel's id.
    pub id: Id<ChannelMarker>,
    /// The channel's name.
    pub name: String,
}

/// A running sandbox. It ends when the token it was started with is cancelled.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Address of plain HTTP.
    pub http: SocketAddr,
    /// Address of HTTPS.
    pub tls: Option<SocketAddr>,
    /// The certificate that signed the one of HTTPS, in PEM.
    pub certificate_authority: Option<String>,
    /// The bots it knows from the start.
    pub bots: Vec<Bot>,
    /// The guild the bots are in.
    pub guild_id: Id<GuildMarker>,
    /// Every channel: in `read-only` the bots may not post, `elsewhere` they may not see.
    pub channels: Vec<Channel>,
}

impl Sandbox {
    /// Opens the doors and serves them on `tracker` until `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, or the system gives no random bytes for tokens and keys.
    pub fn start(
        options: &Options,
        stop: &CancellationToken,
        tracker: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let world = Arc::new(World::new(options.any_token, options.history)?);
        let router = routes::router(Arc::clone(&world));
        let open = |address| {
            let listener = serve::bind(address)?;
            let address = listener.local_addr().context("read the bound address")?;
            anyhow::Ok((listener, address))
        };
        let serve = |listener, tls| {
            let (world, router) = (Arc::clone(&world), router.clone());
            let door = Door::new(world, router, tls, stop.clone(), tracker.clone());
            tracker.spawn(door.accept(listener));
        };

        let (http_listener, http) = open(options.http)?;
        let mut tls = None;
        let mut certificate_authority = None;
        if let Some(address) = options.tls {
            let identity = Identity::generate()?;
            let (listener, address) = open(address)?;
            serve(listener, Some(identity.server));
            tls = Some(address);
            certificate_authority = Some(identity.certificate_authority);
        }
        serve(http_listener, None);
        Ok(Self {
            http,
            tls,
            certificate_authority,
            bots: world.bots().to_vec(),
            guild_id: World::home_id(),
            channels: channels(&world),
        })
    }
}

/// Lists the channels of every guild, those of the bots' guild first.
fn channels(world: &World) -> Vec<Channel> {
    let (home, abroad): (Vec<_>, Vec<_>) = world
        .guilds()
        .iter()
        .partition(|guild| guild.id() == World::home_id());
    let guilds = home.into_iter().chain(abroad);
    let channels = guilds.flat_map(guilds::Guild::channels);
    let channels = channels.map(|channel| Channel {
        id: channel.id(),
        name: channel.name().to_owned(),
    });
    channels.collect()
}
