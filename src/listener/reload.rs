//! Reads again what callers at the open doors may and how they speak TLS; the doors stay as they are.

use std::net::SocketAddr;

use super::{Door, Terms, keys::Keys};
use crate::{
    config::{DoorSettings, Environment, Live, Place, Settings},
    operation::Rights,
};

/// An open door as a reload of the settings finds it.
pub struct Keeper {
    door: DoorSettings,
    port: Option<SocketAddr>,
    rights: Live<Rights>,
    tls: Option<Terms>,
}

/// What a reload is about to put in force.
pub struct Reload<'a>(Vec<(&'a Keeper, Keys)>);

impl Door {
    /// What a reload needs to know of the door while it is served.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        Keeper {
            door: self.settings.clone(),
            port: self.socket.port(),
            rights: self.rights.clone(),
            tls: self.tls.clone(),
        }
    }
}

impl<'a> Reload<'a> {
    /// Reads what the settings say now of doors that are open; nothing is put in force yet. Of a door
    /// that they do not name any more nothing changes.
    ///
    /// # Errors
    ///
    /// When they do not go together, or a file cannot be read or used.
    pub fn read(
        keepers: &'a [Keeper],
        settings: &Settings,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let mut doors = settings.doors()?;
        let mut read = Vec::new();
        for keeper in keepers {
            let Some(door) = keeper.find(&mut doors) else {
                continue;
            };
            let door = keeper.settle(door, settings)?;
            read.push((keeper, Keys::read(settings, &door, environment)?));
        }
        Ok(Self(read))
    }

    /// Puts it in force, for what begins from now on.
    pub fn put_in_force(self) {
        for (keeper, keys) in self.0 {
            keeper.rights.replace(keys.rights);
            if let (Some(terms), Some(config)) = (&keeper.tls, keys.tls) {
                terms.replace(config);
            }
        }
    }
}

impl Keeper {
    /// Takes what is said of this door; one that was passed in is there although nothing is.
    fn find(&self, doors: &mut Vec<DoorSettings>) -> Option<DoorSettings> {
        let place = &self.door.address;
        let index = doors.iter().position(|it| it.address == *place);
        match (place, index) {
            // Several sockets may have this name.
            (Place::Systemd(_), Some(index)) => Some(doors[index].clone()),
            (Place::Systemd(_), None) => Some(DoorSettings::at(place.clone())),
            (Place::Tcp(_) | Place::Unix(_), index) => index.map(|index| doors.remove(index)),
        }
    }

    /// Leaves open what only a restart changes: whether TLS is spoken here.
    fn settle(&self, mut door: DoorSettings, settings: &Settings) -> anyhow::Result<DoorSettings> {
        door.tls = self.door.tls;
        match self.port {
            Some(address) => settings.settle_tcp(&mut door, address)?,
            None => door.settle_unix()?,
        }
        Ok(door)
    }
}
