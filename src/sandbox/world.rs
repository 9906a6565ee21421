//! The state behind the API: who exists, what exists, and who may reach it.
//!
//! It must not know HTTP. What it keeps is bounded, however many tokens and messages it sees.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker, UserMarker};

use super::Bot;
use super::channels::Channel;
use super::error::Error;
use super::guilds::{Guild, Members};
use super::messages::Nonces;
use super::snowflake::Snowflakes;
use super::token::{self, Caller};
use super::users::User;

/// Made-up ids, made as Discord makes them: from a time in the years 2021 to 2024.
const SCOUT: u64 = 1_184_029_301_284_921_344;
const SCRIBE: u64 = 1_184_029_615_832_522_752;
const OWNER: u64 = 823_904_127_664_439_296;
const HOME: u64 = 1_184_031_022_407_147_520;
const GENERAL: (u64, &str) = (1_184_031_022_407_147_523, "general");
const RANDOM: (u64, &str) = (1_184_032_418_774_786_048, "random");
const READ_ONLY: (u64, &str) = (1_184_032_530_179_686_400, "read-only");
const ABROAD: u64 = 907_313_446_881_345_536;
const ELSEWHERE: (u64, &str) = (907_313_446_881_345_539, "elsewhere");

/// What was seen since the start.
#[derive(Default)]
pub(super) struct Counters {
    /// Connections on which an API request came.
    pub(super) connections: AtomicU64,
    /// API requests.
    pub(super) requests: AtomicU64,
    /// Messages created.
    pub(super) messages: AtomicU64,
}

/// The counters at one moment.
#[derive(Serialize)]
pub(super) struct Stats {
    connections: u64,
    requests: u64,
    messages: u64,
}

impl Counters {
    /// Reads all of them.
    pub(super) fn read(&self) -> Stats {
        Stats {
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
        }
    }
}

/// Everything there is.
pub(super) struct World {
    bots: Vec<Bot>,
    any_token: bool,
    guilds: Vec<Guild>,
    nonces: Mutex<Nonces>,
    /// Gives each message its id.
    pub(super) snowflakes: Snowflakes,
    /// Counts what comes.
    pub(super) counters: Counters,
}

impl World {
    /// Makes the world every sandbox starts with: two bots, the guild both are in, and one
    /// neither is in. Each channel keeps `history` messages.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes for the tokens.
    pub(super) fn new(any_token: bool, history: usize) -> anyhow::Result<Self> {
        let mut bots = Vec::new();
        for (id, name) in [(Id::new(SCOUT), "scout"), (Id::new(SCRIBE), "scribe")] {
            let token = token::mint(id)?;
            bots.push(Bot {
                id,
                name: name.to_owned(),
                token,
            });
        }
        // Sorted by id, in which order Discord lists them.
        let guilds = vec![
            guild((ABROAD, "Abroad"), Members::NoBot, &[ELSEWHERE], history),
            guild(
                (HOME, "Sandbox"),
                Members::EveryBot,
                &[GENERAL, RANDOM, READ_ONLY],
                history,
            ),
        ];
        Ok(Self {
            bots,
            any_token,
            guilds,
            nonces: Mutex::default(),
            snowflakes: Snowflakes::default(),
            counters: Counters::default(),
        })
    }

    /// Gives the bots it started with.
    pub(super) fn bots(&self) -> &[Bot] {
        &self.bots
    }

    /// Gives the guilds, lowest id first.
    pub(super) fn guilds(&self) -> &[Guild] {
        &self.guilds
    }

    /// Gives the guild the bots are in.
    pub(super) fn home_id() -> Id<GuildMarker> {
        Id::new(HOME)
    }

    /// Tells whether every well-formed token is a bot.
    pub(super) fn takes_any_token(&self) -> bool {
        self.any_token
    }

    /// Gives the user of this id. Where any token is taken every id is one, and its name is made
    /// from it, so that nothing is kept of the tokens seen.
    pub(super) fn user(&self, id: Id<UserMarker>) -> Option<User> {
        if let Some(bot) = self.bots.iter().find(|bot| bot.id == id) {
            return Some(User::new(id, bot.name.clone()));
        }
        self.any_token.then(|| User::new(id, format!("bot-{id}")))
    }

    /// Gives the guilds the caller is in, lowest id first.
    pub(super) fn guilds_of(&self, caller: &Caller) -> impl Iterator<Item = &Guild> {
        self.guilds.iter().filter(|guild| guild.has(caller))
    }

    /// Finds a guild the caller is in.
    ///
    /// # Errors
    ///
    /// When there is none, or the caller is not in it.
    pub(super) fn guild(&self, caller: &Caller, id: Id<GuildMarker>) -> Result<&Guild, Error> {
        let guild = self.guilds.iter().find(|guild| guild.id() == id);
        let guild = guild.ok_or(Error::UnknownGuild)?;
        if guild.has(caller) {
            Ok(guild)
        } else {
            Err(Error::MissingAccess)
        }
    }

    /// Finds a channel the caller may see.
    ///
    /// # Errors
    ///
    /// When there is none, or the caller may not see it.
    pub(super) fn channel(
        &self,
        caller: &Caller,
        id: Id<ChannelMarker>,
    ) -> Result<&Channel, Error> {
        self.channel_for(caller, id, Permissions::VIEW_CHANNEL)
    }

    /// Finds a channel the caller may see and has these permissions in.
    ///
    /// # Errors
    ///
    /// When there is none, the caller may not see it, or lacks one of the permissions.
    pub(super) fn channel_for(
        &self,
        caller: &Caller,
        id: Id<ChannelMarker>,
        needed: Permissions,
    ) -> Result<&Channel, Error> {
        let (guild, channel) = self
            .guilds
            .iter()
            .flat_map(|guild| guild.channels().iter().map(move |channel| (guild, channel)))
            .find(|(_, channel)| channel.id() == id)
            .ok_or(Error::UnknownChannel)?;
        let permissions = channel.permissions(guild.permissions());
        if !guild.has(caller) || !permissions.contains(Permissions::VIEW_CHANNEL) {
            Err(Error::MissingAccess)
        } else if permissions.contains(needed) {
            Ok(channel)
        } else {
            Err(Error::MissingPermissions)
        }
    }

    /// Gives the nonces of the last minutes, locked.
    pub(super) fn nonces(&self) -> MutexGuard<'_, Nonces> {
        // A panic while it was held loses at most the newest nonce.
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn guild(
    (id, name): (u64, &'static str),
    members: Members,
    channels: &[(u64, &'static str)],
    history: usize,
) -> Guild {
    let id = Id::new(id);
    let channel = |(position, &named): (usize, &(u64, &'static str))| {
        let denied = if named == READ_ONLY {
            Permissions::SEND_MESSAGES
        } else {
            Permissions::empty()
        };
        Channel::new(named, id, position, denied, history)
    };
    let channels = channels.iter().enumerate().map(channel).collect();
    Guild::new(id, name, Id::new(OWNER), members, channels)
}
