//! Where the daemon listens: the short form of `[listen]`, and a `[[door]]` for each where that is
//! not enough.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use anyhow::Context;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Mode, Settings};

/// One name or several: a text, in which commas stand between them, or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Several(Vec<String>);

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
}

/// Where a door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; `auto` is the first of the usual ones.
    Unix(String),
}

impl Several {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
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
        for path in &listen.unix.0 {
            doors.push(DoorSettings {
                name: None,
                address: Place::Unix(path.clone()),
                mode: listen.unix_mode,
                group: listen.unix_group.clone(),
            });
        }
        for address in &listen.tcp.0 {
            let address = tcp(address).map_err(|why| anyhow::anyhow!("listen.tcp: {why}"))?;
            doors.push(DoorSettings {
                name: None,
                address: Place::Tcp(address),
                mode: Mode::default(),
                group: None,
            });
        }
        doors.extend(self.door.iter().cloned());
        anyhow::ensure!(
            !doors.is_empty(),
            "listen: there is no door at all; set listen.unix or listen.tcp"
        );
        for door in &doors {
            self.check_door(door)
                .with_context(|| format!("door {door}"))?;
        }
        Ok(doors)
    }

    fn check_door(&self, door: &DoorSettings) -> anyhow::Result<()> {
        if let Place::Tcp(address) = door.address {
            anyhow::ensure!(
                address.ip().is_loopback() || self.listen.allow_insecure_tcp,
                "it is not loopback, and bot tokens would cross the network without TLS; set \
                 listen.allow_insecure_tcp = true if that is wanted"
            );
            anyhow::ensure!(door.group.is_none(), "a TCP port has no group");
        }
        door.gid().map(drop)
    }
}

impl DoorSettings {
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
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("tcp", address)) => Ok(Self::Tcp(tcp(address)?)),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.to_owned())),
            _ => Err(format!("{text:?} is neither unix:PATH nor tcp:HOST:PORT")),
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

impl From<&str> for Several {
    fn from(text: &str) -> Self {
        let all = text.split(',').map(str::trim);
        Self(all.filter(|it| !it.is_empty()).map(str::to_owned).collect())
    }
}

impl<'de> Deserialize<'de> for Several {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Several;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Several, E> {
                Ok(Several::from(text))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Several, A::Error> {
                let mut all = Vec::new();
                while let Some(address) = seq.next_element()? {
                    all.push(address);
                }
                Ok(Several(all))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

impl Serialize for Several {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => "".serialize(serializer),
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
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
