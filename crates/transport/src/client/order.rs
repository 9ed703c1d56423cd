//! In which order the addresses of a server are tried.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses that failed lately.
#[derive(Debug, Default)]
pub(super) struct Failures {
    failed_at: HashMap<SocketAddr, Instant>,
}

impl Failures {
    pub(super) fn failed(&mut self, address: SocketAddr, now: Instant) {
        self.failed_at.retain(|_, failed_at| now.duration_since(*failed_at) < FAILURE_REMEMBERED);
        if self.failed_at.len() < FAILURES_MAX {
            self.failed_at.insert(address, now);
        }
    }

    pub(super) fn succeeded(&mut self, address: SocketAddr) {
        self.failed_at.remove(&address);
    }

    /// `addresses` without duplicates, begun at `start` to spread clients over replicas; those that failed lately
    /// come last, so that a dead replica costs its timeout once and not at every dial.
    pub(super) fn order(&self, addresses: &[SocketAddr], start: usize, now: Instant) -> Vec<SocketAddr> {
        let mut ordered: Vec<SocketAddr> = Vec::with_capacity(addresses.len().min(ADDRESSES_MAX));
        let start = start.checked_rem(addresses.len()).unwrap_or(0);
        for address in addresses[start..].iter().chain(&addresses[..start]) {
            if ordered.len() < ADDRESSES_MAX && !ordered.contains(address) {
                ordered.push(*address);
            }
        }
        let lately = |failed_at: &Instant| now.duration_since(*failed_at) < FAILURE_REMEMBERED;
        ordered.sort_by_key(|address| self.failed_at.get(address).filter(|at| lately(at)).copied());
        ordered
    }
}

/// A number to begin at. The standard library's seed is random for every process and differs from call to call;
/// spreading load needs no more.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// As long as SPIRE's agents keep away from a failed address at most, and long enough to outlast a restart.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(30);
/// What one dial tries: a cluster has 3 or 5 replicas, each perhaps under two address families.
const ADDRESSES_MAX: usize = 16;
const FAILURES_MAX: usize = 4 * ADDRESSES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn begins_anywhere_and_visits_each_once() {
        let addresses = [address(1), address(2), address(3), address(2)];
        let order = |start| Failures::default().order(&addresses, start, Instant::now());
        assert_eq!(order(0), [address(1), address(2), address(3)]);
        assert_eq!(order(2), [address(3), address(2), address(1)]);
        assert_eq!(order(usize::MAX).len(), 3);
        assert_eq!(Failures::default().order(&[], 7, Instant::now()), []);
    }

    #[test]
    fn failed_addresses_come_last_until_forgotten() {
        let addresses = [address(1), address(2), address(3)];
        let now = Instant::now();
        let mut failures = Failures::default();
        failures.failed(address(1), now);
        failures.failed(address(2), now + Duration::from_secs(1));
        let later = now + Duration::from_secs(2);
        assert_eq!(failures.order(&addresses, 0, later), [address(3), address(1), address(2)]);
        failures.succeeded(address(1));
        assert_eq!(failures.order(&addresses, 0, later), [address(1), address(3), address(2)]);
        assert_eq!(failures.order(&addresses, 0, now + FAILURE_REMEMBERED * 2), addresses);
    }
}
