//! Where metrics go as they happen, beside the registry that Prometheus reads.

use std::io;

use super::m3::M3Sink;
use super::series::Series;
use super::statsd::{Flavor, StatsdSink};

/// What happened to a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    Count(u64),
    Gauge(f64),
    /// Mostly milliseconds.
    Sample(f64),
}

/// One receiver. What it cannot take in time is dropped: a program must not wait for whoever counts. The thread that
/// sends ends with the last clone.
#[derive(Clone, Debug)]
pub enum Sink {
    Statsd(StatsdSink),
    M3(M3Sink),
}

impl Sink {
    /// `address` is `host:port`.
    pub fn statsd(flavor: Flavor, address: String) -> io::Result<Self> {
        StatsdSink::start(flavor, address).map(Self::Statsd)
    }

    /// `service` stands before the names of SPIRE's metrics. It and `env` become tags.
    pub fn m3(service: &str, address: String, env: String) -> io::Result<Self> {
        M3Sink::start(service, address, env).map(Self::M3)
    }

    pub fn send(&self, series: &Series, event: Event) {
        match self {
            Self::Statsd(sink) => sink.send(series, event),
            Self::M3(sink) => sink.send(series, event),
        }
    }
}
