//! Who asks: what the guard's shares are counted by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who asks, as far as shares go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// This process.
    Own,
    /// An address at a port; of IPv6 the network of 64 bits, and of loopback all of it: those are
    /// one machine's to choose from.
    Tcp(IpAddr),
    /// A user at one of the Unix sockets.
    Unix {
        /// Which socket, by its place among the doors.
        door: usize,
        /// The user's id.
        uid: u32,
    },
}

impl Peer {
    /// Whoever asks from `address`.
    #[must_use]
    pub fn tcp(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::Tcp(match address {
            _ if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) => {
                let network = u128::from(v6) >> 64 << 64;
                Ipv6Addr::from(network).into()
            }
            IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_peer_however_it_is_written() {
        let of = |text: &str| Peer::tcp(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("127.0.0.1"), of("127.9.9.9"));
        assert_eq!(of("127.0.0.1"), of("::1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
