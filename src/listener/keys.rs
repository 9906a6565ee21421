//! What of a door a reload of the settings replaces: what its callers may, and how they speak TLS.

use anyhow::Context;
use rustls::ServerConfig;

use super::tls;
use crate::{
    config::{DoorSettings, Environment, Place, Settings},
    operation::Rights,
};

/// Tells whether what the settings name for the doors can be read and used, without opening one. What
/// systemd passes in is not there to be looked at.
///
/// # Errors
///
/// When it cannot.
pub fn check(settings: &Settings, environment: &Environment) -> anyhow::Result<()> {
    for door in settings.doors()? {
        match door.address {
            Place::Systemd(_) => {}
            Place::Tcp(_) | Place::Unix(_) => drop(Keys::read(settings, &door, environment)?),
        }
    }
    Ok(())
}

/// What was read for a door and is not in force yet.
pub(super) struct Keys {
    pub(super) rights: Rights,
    pub(super) tls: Option<ServerConfig>,
}

impl Keys {
    /// Reads what the settings name for a door.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, or a name is unknown.
    pub(super) fn read(
        settings: &Settings,
        door: &DoorSettings,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let read = || {
            Ok(Self {
                rights: Rights::read(door, environment)?,
                tls: tls::read(&settings.tls, door, environment)?,
            })
        };
        let keys: anyhow::Result<Self> = read();
        keys.with_context(|| format!("door {door}"))
    }
}
