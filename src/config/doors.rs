//! Where the daemon listens: the short form of `[listen]`, and a `[[door]]` for each where that is
//! not enough.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroU64,
    str::FromStr,
};

use anyhow::Context;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{KeyFile, Mode, Settings, Several};

/// The path that stands for what is passed in, or else the first of the usual ones.
pub const AUTO: &str = "auto";

/// A door as the settings describe it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DoorSettings {
    /// What the door is called in the log; its address if nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    pub address: Place,
    /// Mode of a Unix socket.
    #[serde(default)]
    pub mode: Mode,
    /// Group of a Unix socket, by name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether callers at a TCP port speak TLS.
    #[serde(default)]
    pub tls: DoorTls,
    /// Whether a caller with TLS needs a certificate of `tls.client_ca`; by default where that is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<bool>,
    /// File with the secret that callers must know, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<KeyFile>,
    /// Users who may call at a Unix socket, by name or number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uids: Option<Several>,
    /// Groups, by name or number, whose members may call: who has one as the primary group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gids: Option<Several>,
    /// Methods that may be called; `!NAME` is one that may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Several>,
    /// Whether only what changes nothing may be called.
    #[serde(default)]
    pub read_only: bool,
    /// Guilds that may be looked at and posted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guilds: Option<Several>,
    /// Channels that may be looked at and posted in, beside those of `guilds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<Several>,
}

/// Whether callers at a TCP port speak TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DoorTls {
    /// Without `tls.certificate` they do not; with it they must, and at a port on loopback they may.
    #[default]
    Auto,
    /// They do not.
    Off,
    /// They may: the first byte tells.
    Optional,
    /// They must.
    Required,
}

/// Where a door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Every socket of this name that systemd passes in.
    Systemd(String),
    /// A TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; `auto` is what systemd passes in, or else the first of the usual
    /// ones.
    Unix(String),
}

impl Settings {
    /// Every door that is to be opened.
    ///
    /// # Errors
    ///
    /// When an address is none, there is no door, or one is not safe and the settings do not say
    /// that this is wanted.
    pub fn doors(&self) -> anyhow::Result<Vec<DoorSettings>> {
        let listen = &self.listen;
        let mut doors = Vec::new();
        for path in listen.unix.iter() {
            let mut door = DoorSettings::at(Place::Unix(path.to_owned()));
            door.mode = listen.unix_mode;
            door.group.clone_from(&listen.unix_group);
            doors.push(door);
        }
        for address in listen.tcp.iter() {
            let address = tcp(address).map_err(|why| anyhow::anyhow!("listen.tcp: {why}"))?;
            let mut door = DoorSettings::at(Place::Tcp(address));
            door.tls = listen.tls;
            doors.push(door);
        }
        doors.extend(self.door.iter().cloned());
        anyhow::ensure!(
            !doors.is_empty() || !self.passed_sockets.is_empty(),
            "listen: there is no door at all; set listen.unix or listen.tcp"
        );
        for door in &mut doors {
            let named = door.to_string();
            self.settle(door).with_context(|| format!("door {named}"))?;
        }
        Ok(doors)
    }

    /// Decides what the settings leave open of a door, and refuses what does not go together.
    fn settle(&self, door: &mut DoorSettings) -> anyhow::Result<()> {
        door.check()?;
        match door.address {
            // What else does not go together shows when it is passed in.
            Place::Systemd(_) => {
                anyhow::ensure!(
                    door.group.is_none(),
                    "the socket's unit says its SocketGroup="
                );
                Ok(())
            }
            Place::Tcp(address) => self.settle_tcp(door, address),
            Place::Unix(_) => door.settle_unix(),
        }
    }

    /// Decides what the settings leave open of a door at a TCP address.
    ///
    /// # Errors
    ///
    /// When it is not safe and the settings do not say that this is wanted, or it has what only a
    /// Unix socket can have.
    pub fn settle_tcp(&self, door: &mut DoorSettings, address: SocketAddr) -> anyhow::Result<()> {
        anyhow::ensure!(door.group.is_none(), "a TCP port has no group");
        anyhow::ensure!(
            door.uids.is_none() && door.gids.is_none(),
            "uids and gids are for Unix sockets: a TCP port does not tell whose a connection is"
        );
        let (has_certificate, has_ca) =
            (self.tls.certificate.is_some(), self.tls.client_ca.is_some());
        let is_loopback = address.ip().is_loopback();
        if door.tls == DoorTls::Auto {
            door.tls = match (has_certificate, is_loopback) {
                (false, _) => DoorTls::Off,
                (true, true) => DoorTls::Optional,
                (true, false) => DoorTls::Required,
            };
        }
        let has_tls = door.tls != DoorTls::Off;
        anyhow::ensure!(
            has_certificate || !has_tls,
            "TLS needs tls.certificate and tls.key"
        );
        let wants_certificate = door.client_certificate.unwrap_or(has_tls && has_ca);
        anyhow::ensure!(
            !wants_certificate || (has_tls && has_ca),
            "client_certificate needs TLS and tls.client_ca"
        );
        door.client_certificate = Some(wants_certificate);
        anyhow::ensure!(
            is_loopback
                || door.tls == DoorTls::Required
                || door.secret_file.is_some()
                || self.listen.allow_insecure_tcp,
            "it is not loopback, and bot tokens would cross the network without TLS; set up [tls], a \
             secret_file, or listen.allow_insecure_tcp = true if that is wanted"
        );
        Ok(())
    }
}

impl DoorSettings {
    /// A door at this place, with nothing else said of it.
    #[must_use]
    pub fn at(address: Place) -> Self {
        Self {
            name: None,
            address,
            mode: Mode::default(),
            group: None,
            tls: DoorTls::default(),
            client_certificate: None,
            secret_file: None,
            uids: None,
            gids: None,
            methods: None,
            read_only: false,
            guilds: None,
            channels: None,
        }
    }

    /// Decides what the settings leave open of a door at a Unix socket.
    ///
    /// # Errors
    ///
    /// When it has what only a TCP port can have.
    pub fn settle_unix(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(
            matches!(self.tls, DoorTls::Auto | DoorTls::Off),
            "tls is for TCP ports"
        );
        anyhow::ensure!(
            self.client_certificate != Some(true),
            "client_certificate is for TCP ports"
        );
        self.tls = DoorTls::Off;
        self.client_certificate = Some(false);
        Ok(())
    }

    /// Refuses what can be no door anywhere.
    fn check(&self) -> anyhow::Result<()> {
        for (key, list) in [
            ("uids", &self.uids),
            ("gids", &self.gids),
            ("methods", &self.methods),
            ("guilds", &self.guilds),
            ("channels", &self.channels),
        ] {
            let is_empty = list
                .as_ref()
                .is_some_and(|list| list.iter().next().is_none());
            anyhow::ensure!(
                !is_empty,
                "{key}: an empty list would allow nothing; leave it out to allow everything"
            );
        }
        ids("guilds", self.guilds.as_ref())?;
        ids("channels", self.channels.as_ref())?;
        self.uids()?;
        self.gids()?;
        self.gid().map(drop)
    }

    /// The numbers of the users who may call, if the settings name any.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub fn uids(&self) -> anyhow::Result<Option<Vec<u32>>> {
        let number = |name: &str| uzers::get_user_by_name(name).map(|user| user.uid());
        numbers("user", self.uids.as_ref(), number)
    }

    /// The numbers of the groups whose members may call, if the settings name any.
    ///
    /// # Errors
    ///
    /// When there is no such group.
    pub fn gids(&self) -> anyhow::Result<Option<Vec<u32>>> {
        let number = |name: &str| uzers::get_group_by_name(name).map(|group| group.gid());
        numbers("group", self.gids.as_ref(), number)
    }

    /// The guilds that may be called for, if the settings name any.
    ///
    /// # Errors
    ///
    /// When one is no id.
    pub fn guilds(&self) -> anyhow::Result<Option<Vec<NonZeroU64>>> {
        ids("guilds", self.guilds.as_ref())
    }

    /// The channels that may be called for, if the settings name any.
    ///
    /// # Errors
    ///
    /// When one is no id.
    pub fn channels(&self) -> anyhow::Result<Option<Vec<NonZeroU64>>> {
        ids("channels", self.channels.as_ref())
    }

    /// The number of the group, if the settings name one.
    ///
    /// # Errors
    ///
    /// When there is no such group.
    pub fn gid(&self) -> anyhow::Result<Option<u32>> {
        let Some(name) = &self.group else {
            return Ok(None);
        };
        let number = name.parse().ok();
        let found = number.or_else(|| uzers::get_group_by_name(name).map(|group| group.gid()));
        let found = found.with_context(|| format!("there is no group {name:?}"))?;
        Ok(Some(found))
    }
}

/// Numbers as they stand, and names looked up.
fn numbers(
    kind: &str,
    list: Option<&Several>,
    look_up: impl Fn(&str) -> Option<u32>,
) -> anyhow::Result<Option<Vec<u32>>> {
    let number = |name: &str| {
        let number = name.parse().ok().or_else(|| look_up(name));
        number.with_context(|| format!("there is no {kind} {name:?}"))
    };
    list.map(|list| list.iter().map(number).collect())
        .transpose()
}

fn ids(key: &str, list: Option<&Several>) -> anyhow::Result<Option<Vec<NonZeroU64>>> {
    let id = |text: &str| {
        let id = text.parse();
        id.with_context(|| format!("{key}: {text:?} is no id"))
    };
    list.map(|list| list.iter().map(id).collect()).transpose()
}

impl fmt::Display for DoorSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd(name) => write!(f, "systemd:{name}"),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("systemd", name)) if !name.is_empty() => Ok(Self::Systemd(name.to_owned())),
            Some(("tcp", address)) => Ok(Self::Tcp(tcp(address)?)),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.to_owned())),
            _ => Err(format!(
                "{text:?} is none of unix:PATH, tcp:HOST:PORT and systemd:NAME"
            )),
        }
    }
}

/// Reads an address; `localhost` is 127.0.0.1, and any other name is looked up.
fn tcp(text: &str) -> Result<SocketAddr, String> {
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    let mut found = text
        .to_socket_addrs()
        .map_err(|_| format!("{text:?} is no address of the form 127.0.0.1:9091"))?;
    found
        .next()
        .ok_or_else(|| format!("{text:?} has no address"))
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
