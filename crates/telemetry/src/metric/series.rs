//! One series as SPIRE spells it: a key with dots, which Prometheus shows as underscores, and labels.

use metrics::{Key, Label};

use super::MetricSettings;
use super::naming::{label_value, metric_name};

/// What go-metrics hands to its sinks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    pub key: String,
    pub labels: Vec<(String, String)>,
}

impl Series {
    /// `None` when the configuration filters it out. Labels of every metric are left to who shows them.
    pub fn of(key: &Key, prefix: &str, settings: &MetricSettings) -> Option<Self> {
        let name = full_name(key.name(), prefix);
        if !settings.filter.admits(&name) {
            return None;
        }
        let labels = key.labels().filter(|label| settings.filter.admits_label(label.key()));
        let labels = labels.map(|label| (label.key().to_owned(), label_value(label.value())));
        Some(Self { key: name, labels: labels.collect() })
    }

    /// As the Prometheus registry knows it.
    pub fn prometheus_key(&self) -> Key {
        let labels = self.labels.iter().map(|(name, value)| Label::new(metric_name(name), value.clone()));
        Key::from_parts(metric_name(&self.key), labels.collect::<Vec<_>>())
    }
}

/// Under the configured prefix, unless it is a name of ours.
pub(super) fn full_name(name: &str, prefix: &str) -> String {
    if is_own(name) { name.to_owned() } else { format!("{prefix}.{name}") }
}

pub(super) fn is_own(name: &str) -> bool {
    name.starts_with(OWN_PREFIX)
}

/// Begins the names of what SPIRE does not have; no configured prefix stands before it, so that alerts can rely on it.
const OWN_PREFIX: &str = "steeple_";
