//! Connections: how many each door has taken, how many are open, and what they speak.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    label::{Counts, Framing, Label},
    text::Labels,
};

/// The doors there are.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<Vec<Arc<Door>>>);

/// What is counted at one door, or at all doors of one name.
#[derive(Debug)]
pub struct Door {
    name: String,
    accepted: AtomicU64,
    plain: Kind,
    tls: Kind,
}

/// Connections with TLS, or those without.
#[derive(Debug, Default)]
pub(super) struct Kind {
    /// Those that are open.
    pub(super) open: Counts<Framing>,
    /// Those that turned out to speak something.
    pub(super) begun: Counts<Framing>,
}

/// A connection that is open; dropping it ends the count.
#[derive(Debug)]
pub struct Connection {
    door: Arc<Door>,
    speaks: Mutex<Spoken>,
}

/// What a connection speaks, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Spoken {
    framing: Framing,
    in_tls: bool,
}

impl Doors {
    /// The door of this name, which there is from now on.
    pub(super) fn named(&self, name: &str) -> Arc<Door> {
        let mut doors = lock(&self.0);
        if let Some(door) = doors.iter().find(|door| door.name == name) {
            return Arc::clone(door);
        }
        let door = Arc::new(Door {
            name: name.to_owned(),
            accepted: AtomicU64::new(0),
            plain: Kind::default(),
            tls: Kind::default(),
        });
        doors.push(Arc::clone(&door));
        door
    }

    pub(super) fn all(&self) -> Vec<Arc<Door>> {
        lock(&self.0).clone()
    }
}

impl Door {
    /// What it is called in figures and in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a connection that was accepted, for as long as the result lives.
    #[must_use]
    pub fn accept(self: &Arc<Self>) -> Connection {
        let speaks = Spoken {
            framing: Framing::None,
            in_tls: false,
        };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.kind(speaks).open.add(speaks.framing, 1);
        Connection {
            door: Arc::clone(self),
            speaks: Mutex::new(speaks),
        }
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Goes through everything that is counted here, each with its labels.
    pub(super) fn each(
        &self,
        mut put: impl FnMut(Labels<'_>, &Kind, Framing) -> fmt::Result,
    ) -> fmt::Result {
        for (in_tls, kind) in [("false", &self.plain), ("true", &self.tls)] {
            for framing in Framing::OF_CONNECTIONS {
                let name = framing.name();
                let labels = [
                    ("door", self.name.as_str()),
                    (Framing::KEY, &name),
                    ("tls", in_tls),
                ];
                put(&labels, kind, framing)?;
            }
        }
        Ok(())
    }

    fn kind(&self, speaks: Spoken) -> &Kind {
        if speaks.in_tls {
            &self.tls
        } else {
            &self.plain
        }
    }
}

impl Connection {
    /// The door it came in at.
    #[must_use]
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Takes note that TLS was set up on it; what it speaks inside is told next.
    pub fn begin_tls(&self) {
        let framing = Framing::None;
        self.become_kind(|_| Spoken {
            framing,
            in_tls: true,
        });
    }

    /// Takes note of what it turned out to speak. HTTP may turn out to be WebSocket later.
    pub fn speak(&self, framing: Framing) {
        let now = self.become_kind(|before| Spoken { framing, ..before });
        self.door.kind(now).begun.add(framing, 1);
    }

    fn become_kind(&self, next: impl FnOnce(Spoken) -> Spoken) -> Spoken {
        let mut speaks = lock(&self.speaks);
        self.door.kind(*speaks).open.subtract(speaks.framing, 1);
        *speaks = next(*speaks);
        self.door.kind(*speaks).open.add(speaks.framing, 1);
        *speaks
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let speaks = *lock(&self.speaks);
        self.door.kind(speaks).open.subtract(speaks.framing, 1);
    }
}

/// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_open_under_what_it_speaks_until_it_is_dropped() {
        let doors = Doors::default();
        let door = doors.named("a");
        assert!(Arc::ptr_eq(&door, &doors.named("a")));
        let connection = door.accept();
        let open = |in_tls, framing| door.kind(Spoken { framing, in_tls }).open.get(framing);
        assert_eq!(open(false, Framing::None), 1);
        connection.begin_tls();
        connection.speak(Framing::Http);
        connection.speak(Framing::Websocket);
        assert_eq!(open(false, Framing::None), 0);
        assert_eq!(open(true, Framing::Http), 0);
        assert_eq!(open(true, Framing::Websocket), 1);
        drop(connection);
        assert_eq!(open(true, Framing::Websocket), 0);
        assert_eq!(door.accepted(), 1);
        for framing in [Framing::Http, Framing::Websocket] {
            assert_eq!(door.tls.begun.get(framing), 1);
        }
    }
}
