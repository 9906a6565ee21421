//! The state behind the API: who exists, what exists, and who may reach it.
//!
//! It must not know HTTP. What it keeps is bounded, however many tokens and messages it sees.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, GuildMarker, UserMarker};

use super::Bot;
use super::channels::Channel;
use super::error::Error;
use super::guilds::{Guild, Member};
use super::messages::Nonces;
use super::plan;
use super::snowflake::Snowflakes;
use super::token::Caller;
use super::users::User;

/// A channel as one caller reaches it.
pub(super) struct Place<'a> {
    /// The guild it is in.
    pub(super) guild: &'a Guild,
    /// The channel.
    pub(super) channel: &'a Channel,
    /// What the caller may do in it.
    pub(super) permissions: Permissions,
}

impl Place<'_> {
    /// Asks for permissions here.
    ///
    /// # Errors
    ///
    /// When the caller lacks one of them.
    pub(super) fn require(&self, needed: Permissions) -> Result<(), Error> {
        if self.permissions.contains(needed) {
            Ok(())
        } else {
            Err(Error::MissingPermissions)
        }
    }
}

/// Everything there is.
pub(super) struct World {
    bots: Vec<Bot>,
    any_token: bool,
    guilds: Vec<Guild>,
    /// Where each channel is: its guild's index, and its own in that.
    places: HashMap<Id<ChannelMarker>, (usize, usize)>,
    nonces: Mutex<Nonces>,
    /// Gives each message its id.
    pub(super) snowflakes: Snowflakes,
    /// Counts the messages created.
    pub(super) messages: AtomicU64,
}

impl World {
    /// Makes the world every sandbox starts with. Each channel keeps `history` messages.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes for the tokens.
    pub(super) fn new(any_token: bool, history: usize) -> anyhow::Result<Self> {
        let bots = plan::bots()?;
        let mut guilds = plan::guilds(history);
        guilds.sort_by_key(|guild| guild.id);
        let mut places = HashMap::new();
        for (at, guild) in guilds.iter().enumerate() {
            let ids = guild.channels.iter().map(Channel::id).enumerate();
            places.extend(ids.map(|(index, id)| (id, (at, index))));
        }
        Ok(Self {
            bots,
            any_token,
            guilds,
            places,
            nonces: Mutex::default(),
            snowflakes: Snowflakes::default(),
            messages: AtomicU64::new(0),
        })
    }

    /// Gives the bots it started with.
    pub(super) fn bots(&self) -> &[Bot] {
        &self.bots
    }

    /// Finds a guild of the world as it was planned.
    pub(super) fn planned(&self, id: u64) -> Option<&Guild> {
        self.guilds.iter().find(|guild| guild.id == id)
    }

    /// Tells whether every well-formed token is a bot.
    pub(super) fn takes_any_token(&self) -> bool {
        self.any_token
    }

    /// Gives the user of this id. Where any token is taken every id is one, and its name is made
    /// from it, so that nothing is kept of the tokens seen.
    pub(super) fn user(&self, id: Id<UserMarker>) -> Option<User> {
        if let Some(bot) = self.bot(id) {
            return Some(User::new(id, bot.name.clone()));
        }
        self.any_token.then(|| User::new(id, format!("bot-{id}")))
    }

    fn bot(&self, id: Id<UserMarker>) -> Option<&Bot> {
        self.bots.iter().find(|bot| bot.id == id)
    }

    /// Gives this user as a member of a guild, if it is one.
    pub(super) fn member(&self, guild: &Guild, id: Id<UserMarker>) -> Option<Member> {
        let listed = guild.members.iter().find(|member| member.id == id);
        let is_stranger = || guild.is_open && self.any_token && self.bot(id).is_none();
        listed
            .cloned()
            .or_else(|| is_stranger().then(|| Member::plain(id)))
    }

    /// Gives the guilds the caller is in, lowest id first, and the caller as a member of each.
    pub(super) fn guilds_of(&self, caller: &Caller) -> impl Iterator<Item = (&Guild, Member)> {
        let guilds = self.guilds.iter();
        guilds.filter_map(|guild| Some((guild, self.member(guild, caller.0.id())?)))
    }

    /// Finds a guild the caller is in.
    ///
    /// # Errors
    ///
    /// When there is none, or the caller is not in it.
    pub(super) fn guild(&self, caller: &Caller, id: Id<GuildMarker>) -> Result<&Guild, Error> {
        let index = self.guilds.binary_search_by_key(&id, |guild| guild.id);
        let guild = &self.guilds[index.map_err(|_| Error::UnknownGuild)?];
        match self.member(guild, caller.0.id()) {
            Some(_) => Ok(guild),
            None => Err(Error::MissingAccess),
        }
    }

    /// Finds a channel the caller may see.
    ///
    /// # Errors
    ///
    /// When there is none, or the caller may not see it.
    pub(super) fn place(&self, caller: &Caller, id: Id<ChannelMarker>) -> Result<Place<'_>, Error> {
        let &(guild, channel) = self.places.get(&id).ok_or(Error::UnknownChannel)?;
        let guild = &self.guilds[guild];
        let channel = &guild.channels[channel];
        let member = self.member(guild, caller.0.id());
        let member = member.ok_or(Error::MissingAccess)?;
        let permissions = guild.permissions_in(channel, &member);
        if !permissions.contains(Permissions::VIEW_CHANNEL) {
            return Err(Error::MissingAccess);
        }
        Ok(Place {
            guild,
            channel,
            permissions,
        })
    }

    /// Gives the nonces of the last minutes, locked.
    pub(super) fn nonces(&self) -> MutexGuard<'_, Nonces> {
        // A panic while it was held loses at most the newest nonce.
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
