//! What callers at a door may: which of them may call, which methods, and for which guilds and
//! channels.
//!
//! It knows no socket and no header: a surface says who calls, and shows what they showed.

mod denied;
mod secret;

use std::collections::BTreeSet;

use anyhow::Context;
use twilight_model::id::{
    Id,
    marker::{ChannelMarker, GuildMarker},
};

pub use self::{denied::Denied, secret::Secret};
use super::{Effect, TABLE};
use crate::config::{DoorSettings, Environment, Several};

/// The method that returns the `OpenRPC` document, which stands in no table.
pub const DISCOVER: &str = "rpc.discover";

/// What callers at a door may. By default everything.
#[derive(Default)]
pub struct Rights {
    secrets: Option<Vec<Secret>>,
    uids: Option<Vec<u32>>,
    gids: Option<Vec<u32>>,
    methods: Methods,
    read_only: bool,
    guilds: Option<BTreeSet<Id<GuildMarker>>>,
    channels: Option<BTreeSet<Id<ChannelMarker>>>,
}

/// The user at the other end of a Unix socket, as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id.
    pub uid: u32,
    /// The id of the user's primary group.
    pub gid: u32,
}

/// Whether a channel may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It may.
    Allowed,
    /// If its guild may.
    ByGuild,
    /// It may not.
    Denied,
}

/// What may be reached, where not everything may.
pub struct Places {
    /// Guilds, with all their channels.
    pub guilds: Vec<Id<GuildMarker>>,
    /// Channels beside those.
    pub channels: Vec<Id<ChannelMarker>>,
}

#[derive(Default)]
struct Methods {
    allowed: Option<Vec<String>>,
    denied: Vec<String>,
}

impl Rights {
    /// Reads what the settings say of a door, and its secret.
    ///
    /// # Errors
    ///
    /// When the secret cannot be read, or a method, user or group is unknown.
    pub fn read(door: &DoorSettings, environment: &Environment) -> anyhow::Result<Self> {
        let secrets = door.secret_file.as_ref().map(|file| {
            let secrets = secret::read(&file.path(environment)?);
            secrets.context("secret_file")
        });
        let guilds = door.guilds()?;
        let channels = door.channels()?;
        Ok(Self {
            secrets: secrets.transpose()?,
            uids: door.uids()?,
            gids: door.gids()?,
            methods: Methods::of(door.methods.as_ref())?,
            read_only: door.read_only,
            guilds: guilds.map(|ids| ids.into_iter().map(Id::from).collect()),
            channels: channels.map(|ids| ids.into_iter().map(Id::from).collect()),
        })
    }

    /// Refuses users who may not call.
    ///
    /// # Errors
    ///
    /// When this one is in neither list.
    pub fn admit(&self, user: Option<User>) -> Result<(), Denied> {
        let Some(User { uid, gid }) = user else {
            return Ok(());
        };
        let (uids, gids) = (self.uids.as_ref(), self.gids.as_ref());
        let listed =
            uids.is_some_and(|it| it.contains(&uid)) || gids.is_some_and(|it| it.contains(&gid));
        match (uids, gids) {
            (None, None) => Ok(()),
            _ if listed => Ok(()),
            (Some(_), _) => Err(Denied::Uid(uid)),
            (None, Some(_)) => Err(Denied::Gid(gid)),
        }
    }

    /// Refuses who has not shown a secret of the door, if it has any.
    ///
    /// # Errors
    ///
    /// When none was shown, or another.
    pub fn check_secret(&self, shown: Option<&Secret>) -> Result<(), Denied> {
        let Some(secrets) = &self.secrets else {
            return Ok(());
        };
        let shown = shown.ok_or(Denied::SecretMissing)?;
        // Each is looked at, so that the time does not tell which it was.
        let found = secrets.iter().fold(false, |found, it| it.is(shown) | found);
        if found {
            Ok(())
        } else {
            Err(Denied::SecretWrong)
        }
    }

    /// Whether callers need a secret.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.secrets.is_some()
    }

    /// Refuses a method that may not be called.
    ///
    /// # Errors
    ///
    /// When it is not among those allowed, is denied, or changes something where nothing may be.
    pub fn check_method(&self, name: &'static str, effect: Effect) -> Result<(), Denied> {
        if !self.methods.has(name) {
            return Err(Denied::Method(name));
        }
        match effect {
            Effect::Posts if self.read_only => Err(Denied::ReadOnly(name)),
            Effect::Local | Effect::Posts | Effect::Reads => Ok(()),
        }
    }
}

/// Guilds and channels: a channel may be reached if it is listed, or its guild is.
impl Rights {
    /// Whether a channel may be reached, of which nothing else is known.
    #[must_use]
    pub fn reach(&self, channel: Id<ChannelMarker>) -> Reach {
        match (&self.channels, &self.guilds) {
            (None, None) => Reach::Allowed,
            (Some(channels), _) if channels.contains(&channel) => Reach::Allowed,
            (_, Some(_)) => Reach::ByGuild,
            (Some(_), None) => Reach::Denied,
        }
    }

    /// Refuses a channel of this guild, or of none, that may not be reached.
    ///
    /// # Errors
    ///
    /// When neither is listed.
    pub fn check_channel(
        &self,
        channel: Id<ChannelMarker>,
        guild: Option<Id<GuildMarker>>,
    ) -> Result<(), Denied> {
        match (self.reach(channel), guild) {
            (Reach::Allowed, _) => Ok(()),
            (Reach::ByGuild, Some(guild)) if self.lists_guild(guild) => Ok(()),
            (Reach::ByGuild, Some(guild)) => Err(Denied::Guild(guild)),
            (Reach::ByGuild | Reach::Denied, _) => Err(Denied::Channel(channel)),
        }
    }

    /// Refuses a guild in which no channel can be reached.
    ///
    /// # Errors
    ///
    /// When it is not listed, and no channels are that might be in it.
    pub fn check_guild(&self, guild: Id<GuildMarker>) -> Result<(), Denied> {
        if self.guilds.is_none() || self.channels.is_some() || self.lists_guild(guild) {
            Ok(())
        } else {
            Err(Denied::Guild(guild))
        }
    }

    /// The guilds listed, and the channels listed beside them, unless everything may be reached.
    #[must_use]
    pub fn places(&self) -> Option<Places> {
        let is_limited = self.guilds.is_some() || self.channels.is_some();
        is_limited.then(|| Places {
            guilds: self.guilds.iter().flatten().copied().collect(),
            channels: self.channels.iter().flatten().copied().collect(),
        })
    }

    fn lists_guild(&self, guild: Id<GuildMarker>) -> bool {
        self.guilds.as_ref().is_some_and(|it| it.contains(&guild))
    }
}

impl Methods {
    fn of(names: Option<&Several>) -> anyhow::Result<Self> {
        let known = |name: &str| name == DISCOVER || TABLE.iter().any(|it| it.name == name);
        let mut methods = Self::default();
        for name in names.into_iter().flat_map(Several::iter) {
            let (name, list) = match name.strip_prefix('!') {
                Some(name) => (name, &mut methods.denied),
                None => (name, methods.allowed.get_or_insert_default()),
            };
            anyhow::ensure!(known(name), "methods: there is no method {name:?}");
            list.push(name.to_owned());
        }
        Ok(methods)
    }

    fn has(&self, name: &str) -> bool {
        let is_it = |it: &String| it == name;
        let allowed = self.allowed.as_ref();
        allowed.is_none_or(|names| names.iter().any(is_it)) && !self.denied.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    fn rights(set: impl FnOnce(&mut DoorSettings)) -> Rights {
        let mut door = DoorSettings::at(Place::Unix("s".to_owned()));
        set(&mut door);
        Rights::read(&door, &Environment::default()).unwrap()
    }

    #[test]
    fn a_user_of_either_list_may_call() {
        let user = |uid, gid| Some(User { uid, gid });
        let everybody = rights(|_| {});
        assert_eq!(everybody.admit(user(7, 7)), Ok(()));
        let some = rights(|door| {
            door.uids = Some("7".into());
            door.gids = Some("8,9".into());
        });
        for (uid, gid, expected) in [
            (7, 1, Ok(())),
            (1, 9, Ok(())),
            (1, 7, Err(Denied::Uid(1))),
            (0, 0, Err(Denied::Uid(0))),
        ] {
            assert_eq!(some.admit(user(uid, gid)), expected);
        }
        let groups = rights(|door| door.gids = Some("8".into()));
        assert_eq!(groups.admit(user(8, 1)), Err(Denied::Gid(1)));
    }

    #[test]
    fn a_method_is_listed_and_not_denied() {
        const SEND: &str = "discord.sendMessage";
        let may = |methods: &str, name| {
            let rights = rights(|door| door.methods = Some(methods.into()));
            rights.check_method(name, Effect::Posts).is_ok()
        };
        assert!(may("discord.sendMessage,health", SEND));
        assert!(!may("health", SEND));
        assert!(!may("!discord.sendMessage", SEND));
        assert!(may("!health", SEND));
        assert!(!may("discord.sendMessage,!discord.sendMessage", SEND));
        assert!(!may("!rpc.discover", DISCOVER));
        let reads = rights(|door| door.read_only = true);
        assert_eq!(
            reads.check_method(SEND, Effect::Posts),
            Err(Denied::ReadOnly(SEND))
        );
        assert_eq!(reads.check_method(SEND, Effect::Reads), Ok(()));
        let mut door = DoorSettings::at(Place::Unix("s".to_owned()));
        door.methods = Some("sendMessage".into());
        assert!(Rights::read(&door, &Environment::default()).is_err());
    }

    #[test]
    fn a_channel_is_listed_or_its_guild_is() {
        let (one, two) = (Id::new(1), Id::new(2));
        let (home, away) = (Some(Id::new(10)), Some(Id::new(20)));
        let of_guild = Err(Denied::Guild(Id::new(20)));
        let of_channel = |id| Err(Denied::Channel(Id::new(id)));
        for (guilds, channels, cases) in [
            (None, None, [Ok(()), Ok(()), Ok(())]),
            (Some("10"), None, [Ok(()), of_guild, of_channel(2)]),
            (None, Some("1"), [Ok(()), of_channel(2), of_channel(2)]),
            (Some("10"), Some("2"), [Ok(()), Ok(()), Ok(())]),
        ] {
            let rights = rights(|door| {
                door.guilds = guilds.map(Into::into);
                door.channels = channels.map(Into::into);
            });
            let found = [
                rights.check_channel(one, home),
                rights.check_channel(two, away),
                rights.check_channel(two, None),
            ];
            assert_eq!(found, cases, "{guilds:?} {channels:?}");
        }
    }
}
