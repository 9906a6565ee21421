//! How many of a thing there may be at once, in all and for each peer, so that one peer never takes
//! what all have to share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::discord::Peer;

/// Places that are taken for as long as something lasts.
pub struct Shares {
    limit: usize,
    peer_limit: usize,
    taken: Mutex<Taken>,
}

/// One place; dropping it gives it back.
pub struct Place {
    shares: Arc<Shares>,
    peer: Peer,
}

/// There is no place: which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That of all peers together.
    All {
        /// How many that is.
        limit: usize,
    },
    /// That of the one peer.
    Peer {
        /// How many that is.
        limit: usize,
    },
}

/// How many places are taken; of a peer that has none nothing is kept.
#[derive(Default)]
struct Taken {
    all: usize,
    peers: HashMap<Peer, usize>,
}

impl Shares {
    /// Makes `limit` places, of which one peer may have `peer_limit`.
    #[must_use]
    pub fn new(limit: usize, peer_limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            peer_limit,
            taken: Mutex::default(),
        })
    }

    /// Takes a place for `peer`.
    ///
    /// # Errors
    ///
    /// When there is none left, or the peer has as many as it may have.
    pub fn take(self: &Arc<Self>, peer: Peer) -> Result<Place, Full> {
        let mut taken = self.taken();
        let of_peer = taken.peers.get(&peer).copied().unwrap_or_default();
        // Who has had his share is told so, even when there is nothing left for anybody.
        if of_peer >= self.peer_limit {
            let limit = self.peer_limit;
            return Err(Full::Peer { limit });
        }
        if taken.all >= self.limit {
            return Err(Full::All { limit: self.limit });
        }
        taken.all += 1;
        taken.peers.insert(peer, of_peer + 1);
        drop(taken);
        Ok(Place {
            shares: Arc::clone(self),
            peer,
        })
    }

    /// Locks, and goes on after a panic elsewhere: nothing here is left half changed by one.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        taken.all -= 1;
        if let Some(of_peer) = taken.peers.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                taken.peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Peer = Peer::Unix { door: 0, uid: 1 };
    const OTHER: Peer = Peer::Unix { door: 0, uid: 2 };

    #[test]
    fn a_peer_leaves_room_for_others_and_nothing_is_kept_of_one_that_is_gone() {
        let shares = Shares::new(3, 2);
        let mut places = vec![shares.take(ONE).ok().unwrap()];
        places.push(shares.take(ONE).ok().unwrap());
        assert_eq!(shares.take(ONE).err(), Some(Full::Peer { limit: 2 }));
        places.push(shares.take(OTHER).ok().unwrap());
        assert_eq!(shares.take(OTHER).err(), Some(Full::All { limit: 3 }));
        assert_eq!(shares.take(ONE).err(), Some(Full::Peer { limit: 2 }));
        places.remove(0);
        assert_eq!(shares.take(OTHER).map(|place| places.push(place)), Ok(()));
        places.clear();
        let taken = shares.taken();
        assert_eq!((taken.all, taken.peers.len()), (0, 0));
    }
}
