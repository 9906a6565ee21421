//! Opens every door: those that the settings name, and those that were passed in.

use anyhow::Context as _;

use super::{Door, Socket, Terms, inherited::Passed, keys::Keys, tcp, unix};
use crate::config::{AUTO, DoorSettings, Environment, Live, Place, Settings, Unusable};

/// The doors so far.
struct Opened<'a> {
    settings: &'a Settings,
    environment: &'a Environment,
    doors: Vec<Door>,
}

/// Opens every door that the settings name, and takes over every socket that was passed in.
///
/// This must be done once, and before the process has other threads: it changes the environment
/// and the umask.
///
/// # Errors
///
/// When one cannot be opened, with its address.
pub fn open(settings: &Settings, environment: &Environment) -> anyhow::Result<Vec<Door>> {
    let mut passed = Passed::take(&settings.passed_sockets).context(Unusable)?;
    let mut opened = Opened {
        settings,
        environment,
        doors: Vec::new(),
    };
    for door in settings.doors().context(Unusable)? {
        match (passed.at(&door.address), &door.address) {
            (Some(socket), _) => opened.take_over(door, socket).context(Unusable)?,
            (None, Place::Systemd(name)) => {
                for socket in passed.named(name).context(Unusable)? {
                    opened.take_over(door.clone(), socket).context(Unusable)?;
                }
            }
            // What was passed in stands for it.
            (None, Place::Unix(path)) if path == AUTO && !settings.passed_sockets.is_empty() => {}
            (None, Place::Tcp(_) | Place::Unix(_)) => opened.open(&door)?,
        }
    }
    for (name, socket) in passed.rest() {
        let mut door = DoorSettings::at(Place::Systemd(name.clone()));
        door.name = Some(name);
        opened.take_over(door, socket).context(Unusable)?;
    }
    Ok(opened.doors)
}

impl Opened<'_> {
    fn open(&mut self, door: &DoorSettings) -> anyhow::Result<()> {
        let keys = self.keys(door).context(Unusable)?;
        let socket = match door.address {
            Place::Tcp(address) => Socket::Tcp(tcp::open(address)?),
            Place::Systemd(_) | Place::Unix(_) => Socket::Unix(unix::open(door, self.environment)?),
        };
        self.add(door, socket, keys, false);
        Ok(())
    }

    /// Adds a door that somebody else opened. Only now it is known what it is, and so whether it may
    /// be as its settings say.
    fn take_over(&mut self, mut door: DoorSettings, socket: Socket) -> anyhow::Result<()> {
        let settled = match socket.port() {
            Some(address) => self.settings.settle_tcp(&mut door, address),
            None => door.settle_unix(),
        };
        settled.with_context(|| format!("door {door} ({socket})"))?;
        let keys = self.keys(&door)?;
        self.add(&door, socket, keys, true);
        Ok(())
    }

    fn keys(&self, door: &DoorSettings) -> anyhow::Result<Keys> {
        Keys::read(self.settings, door, self.environment)
    }

    fn add(&mut self, door: &DoorSettings, socket: Socket, keys: Keys, inherited: bool) {
        self.doors.push(Door {
            number: self.doors.len(),
            settings: door.clone(),
            socket,
            rights: Live::new(keys.rights),
            tls: Terms::of(door, keys.tls),
            inherited,
        });
    }
}
