//! When an agent asks again, as SPIRE's agents do it.

use std::time::Duration;

use steeple_testkit::Dice;

/// The pause after each sync: the interval give or take a tenth, growing by half while syncs fail.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    backoff: Duration,
    dice: Dice,
}

impl Pace {
    pub fn new(interval: Duration, seed: u64) -> Self {
        Self { interval, backoff: interval, dice: Dice::new(seed) }
    }

    /// Before the first sync: a fleet did not start at one instant.
    pub fn spread(&mut self) -> Duration {
        self.within(self.interval)
    }

    /// At random, so that those who lost a server together do not come back together.
    pub fn within(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.dice.fraction())
    }

    pub fn after(&mut self, succeeded: bool) -> Duration {
        self.backoff = if succeeded { self.interval } else { self.backoff.mul_f64(GROWTH).min(BACKOFF_MAX) };
        self.backoff.mul_f64(1.0 - JITTER + 2.0 * JITTER * self.dice.fraction())
    }
}

const GROWTH: f64 = 1.5;
const JITTER: f64 = 0.1;
const BACKOFF_MAX: Duration = Duration::from_secs(8 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK_INTERVAL: Duration = Duration::from_secs(5);

    #[test]
    fn pauses_grow_while_syncs_fail_and_fall_back() {
        let mut pace = Pace::new(STOCK_INTERVAL, 1);
        let within = |pause: Duration, wanted: f64| {
            let seconds = pause.as_secs_f64();
            assert!((wanted * 0.9..=wanted * 1.1).contains(&seconds), "{seconds} for {wanted}");
        };
        within(pace.after(true), 5.0);
        within(pace.after(false), 7.5);
        within(pace.after(false), 11.25);
        within(pace.after(true), 5.0);
        for _ in 0..40 {
            pace.after(false);
        }
        within(pace.after(false), 480.0);
    }

    #[test]
    fn a_fleet_is_spread_over_the_interval() {
        let first: Vec<Duration> = (0..100).map(|seed| Pace::new(STOCK_INTERVAL, seed).spread()).collect();
        assert!(first.iter().all(|pause| *pause < STOCK_INTERVAL));
        let early = first.iter().filter(|pause| **pause < STOCK_INTERVAL / 2).count();
        assert!((30..70).contains(&early), "{early}");
    }
}
