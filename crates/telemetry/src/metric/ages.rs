//! How old things are that end: histograms of one moment, computed at a scrape.

use std::time::Duration;

use super::Tally;

/// In seconds, and as parts of each one's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Ages {
    pub seconds: Tally,
    pub ratio: Tally,
}

impl Default for Ages {
    fn default() -> Self {
        Self { seconds: Tally::of(&AGE_SECS), ratio: Tally::of(&AGE_RATIOS) }
    }
}

impl Ages {
    /// One of `age`, of which `life` was given to it; what is older than that has ended.
    pub fn add(&mut self, age: Duration, life: Duration) {
        self.seconds.add(age.as_secs_f64());
        self.ratio.add(if life.is_zero() { f64::INFINITY } else { age.as_secs_f64() / life.as_secs_f64() });
    }
}

/// A minute to a month; an agent has an hour by default, a workload too.
const AGE_SECS: [f64; 11] =
    [60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 43_200.0, 86_400.0, 604_800.0, 2_592_000.0];
/// SVIDs are renewed at about half of their life; in the last sixth something has failed for long.
const AGE_RATIOS: [f64; 8] = [0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.8333, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_counted_twice() {
        let mut ages = Ages::default();
        let hour = Duration::from_secs(3600);
        for age in [30, 1800, 3300, 4000] {
            ages.add(Duration::from_secs(age), hour);
        }
        let at = |tally: &Tally, bound: f64| {
            tally.buckets.iter().filter(|(upper, _)| *upper <= bound).map(|(_, count)| count).sum::<u64>()
        };
        assert_eq!([60.0, 1800.0, 3600.0, 7200.0].map(|bound| at(&ages.seconds, bound)), [1, 2, 3, 4]);
        assert_eq!([0.1, 0.5, 0.8333, 1.0].map(|bound| at(&ages.ratio, bound)), [1, 2, 2, 3]);
        assert_eq!((ages.ratio.beyond, ages.seconds.sum), (1, 9130.0));
        ages.add(hour, Duration::ZERO);
        assert_eq!(ages.ratio.beyond, 2);
    }
}
