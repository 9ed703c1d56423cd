//! When calls are due, whatever became of the ones before: latency from an intended time leaves nothing out.

use std::time::Duration;

use steeple_testkit::Dice;

/// The intended times of a Poisson process, from the beginning of the load.
#[derive(Clone, Debug)]
pub struct Arrivals {
    dice: Dice,
    mean: Duration,
    at: Duration,
    until: Duration,
}

impl Arrivals {
    /// `per_second` on average, for `duration`. A rate that is not positive has no arrivals.
    pub fn new(per_second: f64, duration: Duration, seed: u64) -> Self {
        let possible = per_second.is_finite() && per_second > 0.0;
        let mean = if possible { Duration::from_secs_f64((1.0 / per_second).min(1e9)) } else { Duration::MAX };
        Self { dice: Dice::new(seed), mean, at: Duration::ZERO, until: duration }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // Exponential gaps; the fraction is below 1, so the logarithm is finite.
        let gap = -(1.0 - self.dice.fraction()).ln();
        self.at = self.at.checked_add(Duration::try_from_secs_f64(self.mean.as_secs_f64() * gap).ok()?)?;
        (self.at < self.until).then_some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(per_second: f64, seconds: u64, seed: u64) -> Vec<Duration> {
        Arrivals::new(per_second, Duration::from_secs(seconds), seed).collect()
    }

    #[test]
    fn as_many_as_the_rate_says_in_order_and_repeatable() {
        let arrivals = at(1_000.0, 20, 1);
        assert!((19_000..21_000).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.is_sorted() && arrivals.iter().all(|at| *at < Duration::from_secs(20)));
        assert_eq!(arrivals, at(1_000.0, 20, 1));
        assert_ne!(arrivals, at(1_000.0, 20, 2));
    }

    #[test]
    fn gaps_are_those_of_a_poisson_process() {
        let arrivals = at(100.0, 100, 5);
        let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let longer = gaps.iter().filter(|gap| **gap > 0.01).count() as f64 / gaps.len() as f64;
        // Of exponential gaps 1/e are longer than the mean.
        assert!((0.34..0.40).contains(&longer), "{longer}");
    }

    #[test]
    fn no_rate_no_arrivals() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(at(rate, 1, 1).is_empty(), "{rate}");
        }
    }
}
