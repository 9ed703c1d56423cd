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

/// When X.509-SVIDs, the agent's own among them, are replaced (SPIRE behaviour).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationRule {
    /// How long workloads shall do without a server: an SVID is replaced while it has at least this much left.
    pub availability_target: Option<Duration>,
}

impl RotationRule {
    /// Half of the life before the end, times a factor between 0.9 and 1.1 that `jitter` (0 to 1) chooses; earlier
    /// where the availability target asks for it.
    pub fn rotate_at(self, issued_at: Timestamp, not_after: Timestamp, jitter: f64) -> Timestamp {
        let jitter = jitter.clamp(0.0, 1.0);
        let lifetime = not_after.since(issued_at);
        let half = lifetime.mul_f64(0.5 * (0.9 + 0.2 * jitter));
        let margin = match self.availability_target {
            Some(target) if self.is_within_reach(lifetime) => half.max(target + TARGET_JITTER_MAX.mul_f64(jitter)),
            _ => half,
        };
        not_after.saturating_sub(margin)
    }

    /// Whether SVIDs of this lifetime can meet the target and still be used for a while before they are replaced.
    pub fn is_within_reach(self, lifetime: Duration) -> bool {
        self.availability_target.is_none_or(|target| lifetime.saturating_sub(target) > USE_MIN)
    }
}

/// With less time than this between issue and replacement the target is given up (SPIRE behaviour).
const USE_MIN: Duration = Duration::from_secs(12 * 3600);
/// Spreads a fleet's renewals.
const TARGET_JITTER_MAX: Duration = Duration::from_secs(10 * 60);

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
        let rotate_at = |from, to, jitter| RotationRule::default().rotate_at(from, to, jitter);
        assert_eq!(rotate_at(at(0), at(1000), 0.0), at(550));
        assert_eq!(rotate_at(at(0), at(1000), 0.5), at(500));
        assert_eq!(rotate_at(at(0), at(1000), 1.0), at(450));
        // A certificate that is over is due at once, whatever the clock says.
        assert!(rotate_at(at(10), at(5), 0.5) <= at(5));
    }

    #[test]
    fn an_availability_target_brings_rotation_forward_where_it_can() {
        let hours = |hours: i64| Timestamp::from_secs(hours * 3600);
        let rule = RotationRule { availability_target: Some(Duration::from_secs(48 * 3600)) };
        // Three days of life: half is 36 h before the end, the target asks for 48 h and up to ten minutes.
        assert_eq!(rule.rotate_at(hours(0), hours(72), 0.0), hours(24));
        assert_eq!(rule.rotate_at(hours(0), hours(72), 1.0), Timestamp::from_secs(24 * 3600 - 600));
        // Half of a longer life is more than the target.
        assert_eq!(rule.rotate_at(hours(0), hours(200), 0.5), hours(100));
        // 60 h leave no more than 12 h of use: the default rule.
        assert!(!rule.is_within_reach(Duration::from_secs(60 * 3600)));
        assert_eq!(rule.rotate_at(hours(0), hours(60), 0.5), hours(30));
    }
}
