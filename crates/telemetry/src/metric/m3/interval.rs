//! What happened to each series since something was last sent.

use std::collections::BTreeMap;

use super::buckets::Buckets;
use crate::metric::Event;
use crate::metric::series::Series;

/// Counters and gauges have their own names, and a series its own place in each of the three.
#[derive(Debug, Default)]
pub(super) struct Interval {
    counts: BTreeMap<Series, u64>,
    gauges: BTreeMap<Series, f64>,
    /// How many samples fell into each bucket.
    samples: BTreeMap<Series, Vec<u64>>,
}

/// One number to be sent.
#[derive(Debug, PartialEq)]
pub(super) struct Reading<'a> {
    pub(super) series: &'a Series,
    /// Number and name of a histogram's bucket.
    pub(super) bucket: Option<(usize, String)>,
    pub(super) value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Gauge(f64),
}

impl Interval {
    pub(super) fn record(&mut self, series: Series, event: Event) {
        match event {
            Event::Count(count) => {
                let sum = self.counts.entry(series).or_default();
                *sum = sum.saturating_add(count);
            }
            Event::Gauge(value) => _ = self.gauges.insert(series, value),
            Event::Sample(value) => {
                let buckets = Buckets::of(&series.key);
                let counts = self.samples.entry(series).or_insert_with(|| vec![0; buckets.len()]);
                if let Some(count) = counts.get_mut(buckets.index(value)) {
                    *count += 1;
                }
            }
        }
    }

    /// How many series have something to tell.
    pub(super) fn len(&self) -> usize {
        self.counts.len() + self.gauges.len() + self.samples.len()
    }

    pub(super) fn readings(&self) -> impl Iterator<Item = Reading<'_>> {
        let count = |(series, count): (_, &u64)| Reading { series, bucket: None, value: Value::Count(*count) };
        let gauge = |(series, value): (_, &f64)| Reading { series, bucket: None, value: Value::Gauge(*value) };
        let samples = self.samples.iter().flat_map(|(series, counts)| {
            let buckets = Buckets::of(&series.key);
            let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            filled.map(move |(at, count)| {
                let bucket = Some((at, buckets.name(at)));
                Reading { series, bucket, value: Value::Count(*count) }
            })
        });
        self.counts.iter().map(count).chain(self.gauges.iter().map(gauge)).chain(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(key: &str) -> Series {
        Series { key: key.to_owned(), labels: vec![("status".to_owned(), "OK".to_owned())] }
    }

    #[test]
    fn counts_add_up_gauges_are_replaced_and_samples_fall_into_buckets() {
        let mut interval = Interval::default();
        for event in [Event::Count(2), Event::Count(3), Event::Gauge(1.0), Event::Gauge(0.5)] {
            interval.record(series("a"), event);
        }
        for milliseconds in [0.4, 3.0, 10.0, 40_000.0] {
            interval.record(series("a.elapsed_time"), Event::Sample(milliseconds));
        }
        assert_eq!(interval.len(), 3);
        let of = |bucket: Option<(usize, &str)>, value| (bucket.map(|(at, name)| (at, name.to_owned())), value);
        let readings: Vec<_> = interval.readings().map(|reading| (reading.bucket, reading.value)).collect();
        assert_eq!(
            readings,
            [
                of(None, Value::Count(5)),
                of(None, Value::Gauge(0.5)),
                of(Some((0, "-infinity-0")), Value::Count(1)),
                of(Some((1, "0-10ms")), Value::Count(2)),
                of(Some((20, "30s-infinity")), Value::Count(1)),
            ]
        );
    }
}
