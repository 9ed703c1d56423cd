//! Events on their way to the sinks, beside the registry that Prometheus reads.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn};
use parking_lot::Mutex;

use super::series::Series;
use super::{Event, Sink};

/// Where events go beside the registry.
pub(super) struct Sending {
    sinks: Vec<Sink>,
    labels: Vec<(String, String)>,
    /// Of gauges that are counted up and down: sinks are told where they stand. As many as there are such gauges.
    values: Mutex<HashMap<Series, f64>>,
}

impl Sending {
    /// `labels` are those of every series. `None` without sinks: then recording costs nothing more.
    pub(super) fn to(sinks: Vec<Sink>, labels: Vec<(String, String)>) -> Option<Arc<Self>> {
        (!sinks.is_empty()).then(|| Arc::new(Self { sinks, labels, values: Mutex::default() }))
    }

    fn send(&self, series: &Series, event: Event) {
        let mut full = series.clone();
        full.labels.extend(self.labels.iter().cloned());
        for sink in &self.sinks {
            sink.send(&full, event);
        }
    }

    fn add(&self, series: &Series, difference: f64) {
        let mut values = self.values.lock();
        let value = values.entry(series.clone()).or_default();
        *value += difference;
        let now = *value;
        drop(values);
        self.send(series, Event::Gauge(now));
    }
}

/// A series that is shown and sent.
pub(super) struct Sent<T> {
    pub(super) shown: T,
    pub(super) series: Series,
    pub(super) sending: Arc<Sending>,
}

impl CounterFn for Sent<Counter> {
    fn increment(&self, value: u64) {
        self.shown.increment(value);
        // A metric that is only declared is news for nobody who counts events.
        if value > 0 {
            self.sending.send(&self.series, Event::Count(value));
        }
    }

    /// Counters that are kept elsewhere are for those who read totals.
    fn absolute(&self, value: u64) {
        self.shown.absolute(value);
    }
}

impl GaugeFn for Sent<Gauge> {
    fn increment(&self, value: f64) {
        self.shown.increment(value);
        self.sending.add(&self.series, value);
    }

    fn decrement(&self, value: f64) {
        self.shown.decrement(value);
        self.sending.add(&self.series, -value);
    }

    fn set(&self, value: f64) {
        self.shown.set(value);
        self.sending.send(&self.series, Event::Gauge(value));
    }
}

impl HistogramFn for Sent<Histogram> {
    fn record(&self, value: f64) {
        self.shown.record(value);
        self.sending.send(&self.series, Event::Sample(value));
    }
}
