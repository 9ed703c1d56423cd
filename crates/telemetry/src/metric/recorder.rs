//! The recorder behind the `metrics` macros.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusRecorder};
use parking_lot::{Mutex, RwLock};

use super::naming::{label_value, metric_name};

/// The `telemetry` section of a configuration, as far as it shapes names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricSettings {
    /// `spire_server` or `spire_agent`; stands before every name with an underscore.
    pub prefix: String,
    /// The `host` label (`EnableHostnameLabel`).
    pub host: Option<String>,
    /// The `trust_domain` label (`EnableTrustDomainLabel`).
    pub trust_domain: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("cannot build the metrics recorder: {0}")]
    Build(#[from] BuildError),
    #[error("a metrics recorder was installed before in this process")]
    InstalledBefore,
}

/// Cheap to clone; all clones are one registry.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

type Hook = Box<dyn Fn() + Send + Sync>;

struct Inner {
    settings: MetricSettings,
    prometheus: PrometheusRecorder,
    /// With the prefix of what they set.
    before_render: RwLock<Vec<(String, Hook)>>,
    last_upkeep: Mutex<Instant>,
}

impl Metrics {
    pub fn new(settings: &MetricSettings) -> Result<Self, MetricsError> {
        Ok(Self(Arc::new(Inner {
            settings: settings.clone(),
            prometheus: settings.labelled(PrometheusBuilder::new().set_quantiles(&QUANTILES)?).build_recorder(),
            before_render: RwLock::default(),
            last_upkeep: Mutex::new(Instant::now()),
        })))
    }

    /// Makes the `metrics` macros of the whole process record here. Without it they cost next to nothing.
    pub fn install(&self) -> Result<(), MetricsError> {
        metrics::set_global_recorder(self.clone()).map_err(|_| MetricsError::InstalledBefore)
    }

    /// Runs `hook` at each rendering, for gauges that are functions of the moment, such as seconds to expiry. What the
    /// macros inside it record is shown once: a series ends with whatever it described. A metric is set in a hook or
    /// elsewhere, never in both. Hooks are few, quick and for the life of the process.
    pub fn before_render(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.before_render_under(&self.0.settings.prefix, hook);
    }

    /// As [`Self::before_render`], under another prefix than the configured one.
    pub fn before_render_under(&self, prefix: &str, hook: impl Fn() + Send + Sync + 'static) {
        self.0.before_render.write().push((prefix.to_owned(), Box::new(hook)));
    }

    /// The Prometheus text.
    pub fn render(&self) -> String {
        let moment = self.0.settings.labelled(PrometheusBuilder::new()).build_recorder();
        for (prefix, hook) in &*self.0.before_render.read() {
            metrics::with_local_recorder(&Prefixed { prefix, prometheus: &moment }, hook);
        }
        self.0.prometheus.handle().render() + &moment.handle().render()
    }

    /// Moves recorded samples into their summaries when that is due. Samples pile up in memory between scrapes, and
    /// this runs where they come in, so their number is bounded even when nobody scrapes.
    fn keep_up(&self) {
        if let Some(mut last) = self.0.last_upkeep.try_lock()
            && last.elapsed() >= UPKEEP
        {
            *last = Instant::now();
            self.0.prometheus.handle().run_upkeep();
        }
    }

    fn prefixed(&self) -> Prefixed<'_> {
        Prefixed { prefix: &self.0.settings.prefix, prometheus: &self.0.prometheus }
    }
}

impl MetricSettings {
    fn labelled(&self, mut builder: PrometheusBuilder) -> PrometheusBuilder {
        for (name, value) in [("host", &self.host), ("trust_domain", &self.trust_domain)] {
            if let Some(value) = value {
                builder = builder.add_global_label(name, label_value(value));
            }
        }
        builder
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prefixed().describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prefixed().describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prefixed().describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.prefixed().register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.prefixed().register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.keep_up();
        self.prefixed().register_histogram(key, metadata)
    }
}

/// Spells names and labels on their way into a registry.
struct Prefixed<'a> {
    prefix: &'a str,
    prometheus: &'a PrometheusRecorder,
}

impl Prefixed<'_> {
    fn key(&self, key: &Key) -> Key {
        let labels = key.labels().map(|label| match label.key() {
            // The bound of a histogram's bucket is a number.
            "le" => label.clone(),
            key => Label::new(metric_name(key), label_value(label.value())),
        });
        Key::from_parts(self.name(key.name()), labels.collect::<Vec<_>>())
    }

    fn name(&self, name: &str) -> String {
        match name.starts_with(OWN_PREFIX) {
            true => metric_name(name),
            false => metric_name(&format!("{}_{name}", self.prefix)),
        }
    }
}

impl Recorder for Prefixed<'_> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_counter(self.name(key.as_str()).into(), unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_gauge(self.name(key.as_str()).into(), unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_histogram(self.name(key.as_str()).into(), unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.prometheus.register_counter(&self.key(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.prometheus.register_gauge(&self.key(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.prometheus.register_histogram(&self.key(key), metadata)
    }
}

/// Begins the names of what SPIRE does not have; no configured prefix stands before it, so that alerts can rely on it.
const OWN_PREFIX: &str = "steeple_";
/// How often samples are folded into summaries.
const UPKEEP: Duration = Duration::from_secs(5);
/// Those of go-metrics, which SPIRE's dashboards show.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn metrics() -> Metrics {
        let settings =
            MetricSettings { prefix: "spire_server".into(), host: Some("node-1.test".into()), trust_domain: None };
        Metrics::new(&settings).unwrap()
    }

    #[test]
    fn names_and_labels_as_spire_has_them() {
        let metrics = metrics();
        metrics::with_local_recorder(&metrics, || {
            metrics::gauge!("started", "version" => "1.2", "trust_domain_id" => "example.org").set(1.0);
            metrics::counter!("server_ca_sign_x509_svid").increment(2);
        });
        let text = metrics.render();
        let started = "spire_server_started{host=\"node_1_test\",version=\"1_2\",trust_domain_id=\"example_org\"} 1\n";
        assert!(text.contains(started), "{text}");
        assert!(text.contains("# TYPE spire_server_server_ca_sign_x509_svid counter\n"), "{text}");
    }

    #[test]
    fn own_names_keep_their_prefix_and_bounds_stay_numbers() {
        let metrics = metrics();
        metrics::with_local_recorder(&metrics, || {
            metrics::counter!("steeple_wal_sync_seconds_bucket", "le" => "0.002").absolute(3);
        });
        let text = metrics.render();
        assert!(text.contains("\nsteeple_wal_sync_seconds_bucket{host=\"node_1_test\",le=\"0.002\"} 3\n"), "{text}");
    }

    #[test]
    fn hooks_run_at_each_rendering() {
        let metrics = metrics();
        let left = Arc::new(AtomicU32::new(10));
        let counted = left.clone();
        metrics.before_render(move || {
            metrics::gauge!("ca_cert_expiry_seconds").set(f64::from(counted.fetch_sub(1, Ordering::Relaxed)));
        });
        assert!(metrics.render().contains("spire_server_ca_cert_expiry_seconds{host=\"node_1_test\"} 10\n"));
        assert!(metrics.render().contains("spire_server_ca_cert_expiry_seconds{host=\"node_1_test\"} 9\n"));
    }

    #[test]
    fn a_series_ends_with_what_it_described() {
        let metrics = metrics();
        let authority = Arc::new(Mutex::new("old"));
        let current = authority.clone();
        metrics.before_render(move || metrics::gauge!("expiry_seconds", "authority_id" => *current.lock()).set(1.0));
        assert!(metrics.render().contains("authority_id=\"old\""));
        *authority.lock() = "new";
        let text = metrics.render();
        assert!(text.contains("authority_id=\"new\"") && !text.contains("authority_id=\"old\""), "{text}");
    }
}
