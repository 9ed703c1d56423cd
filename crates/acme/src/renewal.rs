//! When a certificate is ordered: pure.

use std::time::Duration;

use steeple_core::Timestamp;

use crate::Validity;

/// Two thirds into its life, so that a third is left for an ACME server that is away.
pub fn due_at(validity: Validity) -> Timestamp {
    let life = validity.not_after.since(validity.not_before);
    validity.not_before.saturating_add(life / 3 * 2)
}

/// The pause after so many orders in a row that failed. Let's Encrypt takes five failures an hour for one name.
pub fn retry_pause(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(RETRY_FACTOR.saturating_pow(failures.saturating_sub(1))).min(RETRY_MAX)
}

const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_FACTOR: u32 = 4;
const RETRY_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_when_a_third_of_its_life_is_left() {
        let validity = |not_before, not_after| Validity {
            not_before: Timestamp::from_secs(not_before),
            not_after: Timestamp::from_secs(not_after),
        };
        let day = 24 * 3_600;
        assert_eq!(due_at(validity(0, 90 * day)), Timestamp::from_secs(60 * day));
        assert_eq!(due_at(validity(1_000, 1_006)), Timestamp::from_secs(1_004));
        // One that ended before it began is due at once.
        assert_eq!(due_at(validity(1_000, 900)), Timestamp::from_secs(1_000));
    }

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let pauses: Vec<u64> =
            [1, 2, 3, 4, 5, u32::MAX].into_iter().map(|count| retry_pause(count).as_secs()).collect();
        assert_eq!(pauses, [30, 120, 480, 1_920, 3_600, 3_600]);
        let within_an_hour = [1, 2, 3, 4].into_iter().map(retry_pause).sum::<Duration>();
        assert!(within_an_hour > Duration::from_secs(2_500), "the fifth attempt comes late: {within_an_hour:?}");
    }
}
