//! A workload's X.509-SVID with its private key.

use std::time::Duration;

use steeple_core::{Secret, SpiffeId, Timestamp};

/// Shared by all processes that match the entry. The key never leaves memory.
#[derive(Debug)]
pub struct X509Svid {
    pub spiffe_id: SpiffeId,
    /// DER, leaf first, intermediates after, root left out.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER.
    pub key: Secret,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
    /// When a new one is due, half of the life with a jitter of a tenth (SPIRE behaviour).
    pub rotate_at: Timestamp,
    /// Version of the entry it was issued for.
    pub revision: i64,
    pub created_at: i64,
}

/// Half of the life, times a factor between 0.9 and 1.1 that `jitter` (0 to 1) chooses, before the end.
pub fn rotate_at(issued_at: Timestamp, not_after: Timestamp, jitter: f64) -> Timestamp {
    let lifetime = not_after.since(issued_at);
    let margin = lifetime.mul_f64(0.5 * (0.9 + 0.2 * jitter.clamp(0.0, 1.0)));
    not_after.saturating_sub(margin)
}

impl X509Svid {
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.not_after.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_falls_around_half_life() {
        let at = |secs| Timestamp::from_secs(secs);
        assert_eq!(rotate_at(at(0), at(1000), 0.0), at(550));
        assert_eq!(rotate_at(at(0), at(1000), 0.5), at(500));
        assert_eq!(rotate_at(at(0), at(1000), 1.0), at(450));
        // A certificate that is over is due at once, whatever the clock says.
        assert!(rotate_at(at(10), at(5), 0.5) <= at(5));
    }
}
