//! How long nothing succeeded.

use std::time::Duration;

/// The longest time without a success from the beginning to `end`, and when it began. `successes` need no order.
pub fn longest_gap(mut successes: Vec<Duration>, end: Duration) -> (Duration, Duration) {
    successes.sort_unstable();
    let mut longest = (Duration::ZERO, Duration::ZERO);
    let mut before = Duration::ZERO;
    for at in successes.into_iter().chain([end]) {
        let gap = at.saturating_sub(before);
        if gap > longest.0 {
            longest = (gap, before);
        }
        before = before.max(at);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_count() {
        let seconds = |list: &[u64]| list.iter().map(|at| Duration::from_secs(*at)).collect::<Vec<_>>();
        let gap = |list: &[u64], end| {
            let (gap, began) = longest_gap(seconds(list), Duration::from_secs(end));
            (gap.as_secs(), began.as_secs())
        };
        assert_eq!(gap(&[1, 2, 5, 6], 7), (3, 2));
        assert_eq!(gap(&[6, 5, 2, 1], 7), (3, 2));
        assert_eq!(gap(&[4, 5], 6), (4, 0));
        assert_eq!(gap(&[1, 2], 10), (8, 2));
        assert_eq!(gap(&[], 3), (3, 0));
    }
}
