//! Limits that the descriptors of the process can carry.

use super::crowd::RESERVE;
use crate::{config::Limits, discord::Exit};

/// Descriptors of a call under way: its client's, the exit's, and that to Discord.
const PER_CALL: usize = 3;
/// Descriptors for all else: the doors, the runtime's own, files that are read.
const OTHERS: usize = 64;

/// Lowers the limits to what the descriptors that the process may have can carry, and says so: else
/// connections alone could take them all, and no call would get through.
pub fn fit(limits: &mut Limits) {
    let have = Exit::descriptors();
    let before = (limits.calls, limits.connections);
    fit_to(limits, have);
    if (limits.calls, limits.connections) != before {
        let needed = before.0 * PER_CALL + before.1 + RESERVE + Exit::strangers(have) + OTHERS;
        tracing::warn!(
            have,
            needed,
            calls = limits.calls,
            connections = limits.connections,
            "too few descriptors for the limits that are set: they are lowered"
        );
    }
}

/// Lowers them so that so many descriptors suffice: at most half of what is left is the calls', and
/// peers keep the shares that they had.
fn fit_to(limits: &mut Limits, have: usize) {
    let left = have.saturating_sub(RESERVE + Exit::strangers(have) + OTHERS);
    if limits.calls * PER_CALL + limits.connections <= left {
        return;
    }
    let calls = limits.calls.min(left / 2 / PER_CALL).max(1);
    let connections = limits
        .connections
        .min(left.saturating_sub(calls * PER_CALL));
    let connections = connections.max(1);
    limits.calls_per_peer = share(limits.calls_per_peer, limits.calls, calls);
    limits.calls = calls;
    limits.connections_per_peer =
        share(limits.connections_per_peer, limits.connections, connections);
    limits.connections = connections;
}

fn share(of_peer: usize, before: usize, now: usize) -> usize {
    (of_peer.min(before) * now / before).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(have: usize) -> [usize; 4] {
        let mut limits = Limits::default();
        fit_to(&mut limits, have);
        [
            limits.calls,
            limits.calls_per_peer,
            limits.connections,
            limits.connections_per_peer,
        ]
    }

    #[test]
    fn the_limits_are_what_the_descriptors_carry_and_shares_stay_shares() {
        assert_eq!(fitted(20_000), [512, 384, 16_384, 12_288]);
        let [calls, calls_of_peer, connections, of_peer] = fitted(4096);
        assert_eq!((calls, calls_of_peer), (512, 384));
        let others = RESERVE + Exit::strangers(4096) + OTHERS;
        assert!(calls * 3 + connections + others <= 4096 && connections > 1000);
        assert_eq!(of_peer, connections * 3 / 4);
        let [calls, calls_of_peer, connections, of_peer] = fitted(1024);
        assert!(calls * 3 + connections <= 1024 && calls > 50 && connections > 150);
        assert!(calls_of_peer < calls && of_peer < connections);
        assert_eq!(fitted(0), [1, 1, 1, 1]);
    }
}
