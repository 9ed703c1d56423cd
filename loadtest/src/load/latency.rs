//! How long calls took, in a histogram of constant size.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies with three digits, from a microsecond to ten minutes; longer ones count as ten minutes.
#[derive(Clone, Debug)]
pub struct Latency {
    microseconds: Histogram<u64>,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Latency {
    /// Fails only for bounds that contradict each other, and these are constant.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { microseconds: Histogram::new_with_bounds(1, LONGEST_US, DIGITS)? })
    }

    pub fn record(&mut self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.saturating_record(microseconds);
    }

    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds and the same precision.
        let _ = self.microseconds.add(&other.microseconds);
    }

    pub fn count(&self) -> u64 {
        self.microseconds.len()
    }

    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| milliseconds(self.microseconds.value_at_quantile(quantile));
        Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(self.microseconds.max()),
        }
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e3
}

const LONGEST_US: u64 = 600_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_in_milliseconds() {
        let mut latency = Latency::new().unwrap();
        for milliseconds in 1..=100 {
            latency.record(Duration::from_millis(milliseconds));
        }
        let quantiles = latency.quantiles();
        let near = |got: f64, wanted: f64| assert!((got - wanted).abs() <= wanted / 500.0, "{got} for {wanted}");
        near(quantiles.p50, 50.0);
        near(quantiles.p99, 99.0);
        near(quantiles.max, 100.0);
        assert_eq!(latency.count(), 100);
    }

    #[test]
    fn the_slowest_call_is_never_lost() {
        let (mut all, mut other) = (Latency::new().unwrap(), Latency::new().unwrap());
        all.record(Duration::from_millis(1));
        other.record(Duration::from_secs(3_600));
        all.add(&other);
        assert_eq!(all.count(), 2);
        assert!(all.quantiles().max >= 599_000.0, "{:?}", all.quantiles());
    }
}
