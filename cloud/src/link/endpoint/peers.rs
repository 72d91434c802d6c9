//! Failed logins by address, so that a peer that guesses is not even answered.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// How long failures of one address are added up, and how long it then stays blocked at most.
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses remembered; beyond it the oldest is forgotten, which errs on the side of letting in.
const PEERS_MAX: usize = 4_096;

/// Counts failed logins in windows of a minute.
pub(super) struct PeerFailures {
    failures_max: u32,
    window_by_peer: BTreeMap<IpAddr, Window>,
}

struct Window {
    since: Instant,
    failures: u32,
}

impl PeerFailures {
    pub(super) fn new(failures_max: u32) -> Self {
        Self { failures_max, window_by_peer: BTreeMap::new() }
    }

    /// Whether the address has failed too often in its window.
    pub(super) fn is_blocked(&self, peer: IpAddr, now: Instant) -> bool {
        self.window_by_peer.get(&block_of(peer)).is_some_and(|window| {
            now < window.since + WINDOW && window.failures >= self.failures_max
        })
    }

    /// A login from the address has failed.
    pub(super) fn record(&mut self, peer: IpAddr, now: Instant) {
        let peer = block_of(peer);
        if self.window_by_peer.len() >= PEERS_MAX && !self.window_by_peer.contains_key(&peer) {
            let oldest = self.window_by_peer.iter().min_by_key(|(_, window)| window.since);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.window_by_peer.remove(&oldest);
            }
        }
        let window = self.window_by_peer.entry(peer).or_insert(Window { since: now, failures: 0 });
        if window.since + WINDOW <= now {
            *window = Window { since: now, failures: 0 };
        }
        window.failures += 1;
    }
}

/// One IPv6 customer has a /64 to choose addresses from, so all of it is one peer.
fn block_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_peer_is_blocked_after_its_failures_and_let_in_after_the_window() {
        let mut peers = PeerFailures::new(2);
        let now = Instant::now();
        peers.record(peer("192.0.2.1"), now);
        assert!(!peers.is_blocked(peer("192.0.2.1"), now));
        peers.record(peer("::ffff:192.0.2.1"), now);
        assert!(peers.is_blocked(peer("192.0.2.1"), now));
        assert!(!peers.is_blocked(peer("192.0.2.2"), now));
        assert!(!peers.is_blocked(peer("192.0.2.1"), now + WINDOW));
        peers.record(peer("192.0.2.1"), now + WINDOW);
        assert!(!peers.is_blocked(peer("192.0.2.1"), now + WINDOW));
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_peer() {
        let mut peers = PeerFailures::new(1);
        let now = Instant::now();
        peers.record(peer("2001:db8:0:1::1"), now);
        assert!(peers.is_blocked(peer("2001:db8:0:1:ffff::2"), now));
        assert!(!peers.is_blocked(peer("2001:db8:0:2::1"), now));
    }

    #[test]
    fn a_flood_of_addresses_forgets_the_oldest() {
        let mut peers = PeerFailures::new(1);
        let start = Instant::now();
        for number in 0..=PEERS_MAX {
            let address = IpAddr::from(u32::try_from(number).expect("small").to_be_bytes());
            let later = u64::try_from(number).expect("small");
            peers.record(address, start + Duration::from_millis(later));
        }
        assert_eq!(peers.window_by_peer.len(), PEERS_MAX);
        assert!(!peers.is_blocked(peer("0.0.0.0"), start));
        assert!(peers.is_blocked(peer("0.0.0.1"), start));
    }
}
