//! A stand-in for Discord's REST API, to try the daemon and to test it, without Discord.
//!
//! It answers the few routes of <https://discord.com/developers/docs/reference> that the daemon
//! asks, with Discord's checks, codes and shapes. It must not be reached without being asked for,
//! and it sends nothing anywhere.

mod certificate;
mod channels;
mod control;
mod error;
mod faults;
mod form;
mod gate;
mod guilds;
mod journal;
mod limited;
mod limits;
mod line;
mod messages;
mod permissions;
mod plan;
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
use twilight_model::id::marker::{ChannelMarker, GuildMarker, RoleMarker, UserMarker};

use self::certificate::Identity;
use self::control::Control;
use self::gate::Gate;
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
    /// Limits how often a bot may ask, as Discord does.
    pub rate_limits: bool,
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

/// A role of the sandbox.
#[derive(Debug, Clone)]
pub struct Role {
    /// The role's id.
    pub id: Id<RoleMarker>,
    /// The role's name.
    pub name: &'static str,
}

/// The guild with roles, overwrites and a channel of each kind.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// The guild's id.
    pub guild_id: Id<GuildMarker>,
    /// Its channels, its threads among them.
    pub channels: Vec<Channel>,
    /// Its roles; that of everyone is the first.
    pub roles: Vec<Role>,
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
    /// The bots of the guild.
    pub bots: Vec<Bot>,
    /// The bots that are in other guilds, or in none.
    pub more_bots: Vec<Bot>,
    /// The guild the bots are in.
    pub guild_id: Id<GuildMarker>,
    /// Its channels and one more: in `read-only` the bots may not post, `elsewhere` is another
    /// guild's and they may not see it.
    pub channels: Vec<Channel>,
    /// The guild of most of the other bots.
    pub workshop: Workshop,
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
        let control = Arc::new(Control::new(Arc::clone(&world), options.rate_limits));
        let router = routes::router(Arc::clone(&world), Arc::clone(&control));
        let gate = Gate::new(control, router);
        let open = |address| {
            let listener = serve::bind(address)?;
            let address = listener.local_addr().context("read the bound address")?;
            anyhow::Ok((listener, address))
        };
        let serve = |listener, tls| {
            let door = Door::new(gate.clone(), tls, stop.clone(), tracker.clone());
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
        let (bots, more_bots) = world.bots().split_at(plan::HOME_BOTS);
        Ok(Self {
            http,
            tls,
            certificate_authority,
            bots: bots.to_vec(),
            more_bots: more_bots.to_vec(),
            guild_id: Id::new(plan::HOME),
            channels: [channels(&world, plan::HOME), channels(&world, plan::ABROAD)].concat(),
            workshop: workshop(&world),
        })
    }
}

/// Lists the channels of a guild.
fn channels(world: &World, guild: u64) -> Vec<Channel> {
    let channels = world.planned(guild).into_iter();
    let channels = channels.flat_map(|guild| &guild.channels);
    let channels = channels.map(|channel| Channel {
        id: channel.id(),
        name: channel.name().to_owned(),
    });
    channels.collect()
}

fn workshop(world: &World) -> Workshop {
    let roles = world.planned(plan::WORKSHOP).into_iter();
    let roles = roles.flat_map(|guild| &guild.roles).map(|role| Role {
        id: role.id,
        name: role.name,
    });
    Workshop {
        guild_id: Id::new(plan::WORKSHOP),
        channels: channels(world, plan::WORKSHOP),
        roles: roles.collect(),
    }
}
