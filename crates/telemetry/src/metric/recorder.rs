//! The recorder behind the `metrics` macros.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};
use parking_lot::{Mutex, RwLock};

use super::help::Helps;
use super::naming::{label_value, metric_name};
use super::sending::{Sending, Sent};
use super::series::{Series, full_name, is_own};
use super::table::{Kind, Metric};
use super::{Filter, Sink, Tally};

/// The `telemetry` section of a configuration, as far as it shapes names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSettings {
    /// `spire_server` or `spire_agent`; stands before every name with a dot, which Prometheus shows as an underscore.
    pub prefix: String,
    /// The `host` label (`EnableHostnameLabel`).
    pub host: Option<String>,
    /// The `trust_domain` label (`EnableTrustDomainLabel`).
    pub trust_domain: Option<String>,
    pub filter: Filter,
    /// What is explained, and which histograms have buckets; the others are summaries, as SPIRE's.
    pub table: &'static [Metric],
}

#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error("cannot build the metrics recorder: {0}")]
    Build(#[from] BuildError),
    #[error("cannot start sending metrics: {0}")]
    Thread(#[from] std::io::Error),
    #[error("a metrics recorder was installed before in this process")]
    InstalledBefore,
}

/// Cheap to clone; all clones are one registry.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

type Hook = Box<dyn Fn() + Send + Sync>;
type Count = Box<dyn Fn() -> Option<Tally> + Send + Sync>;

struct Inner {
    settings: MetricSettings,
    prometheus: PrometheusRecorder,
    sending: Option<Arc<Sending>>,
    /// With the prefix of what they set.
    before_render: RwLock<Vec<(String, Hook)>>,
    /// By full name.
    tallies: RwLock<Vec<(String, Count)>>,
    helps: Helps,
    last_upkeep: Mutex<Instant>,
}

impl Metrics {
    pub fn new(settings: &MetricSettings) -> Result<Self, MetricsError> {
        Self::with_sinks(settings, Vec::new())
    }

    /// What is recorded goes to `sinks` as well, at once.
    pub fn with_sinks(settings: &MetricSettings, sinks: Vec<Sink>) -> Result<Self, MetricsError> {
        let builder = settings.labelled(PrometheusBuilder::new().set_quantiles(&QUANTILES)?);
        let helps = Helps::default();
        helps.add_all(settings.table, &settings.prefix);
        Ok(Self(Arc::new(Inner {
            settings: settings.clone(),
            prometheus: settings.with_buckets(builder)?.build_recorder(),
            sending: Sending::to(sinks, settings.common_labels()),
            before_render: RwLock::default(),
            tallies: RwLock::default(),
            helps,
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
        self.0.helps.add_all(self.0.settings.table, prefix);
        self.0.before_render.write().push((prefix.to_owned(), Box::new(hook)));
    }

    /// Shows the histogram `name` as `count` knows it at each rendering, after the hooks, where it knows it. It is not
    /// sent to the sinks, which want samples.
    pub fn show_tally(&self, name: &str, count: impl Fn() -> Option<Tally> + Send + Sync + 'static) {
        let name = full_name(name, &self.0.settings.prefix);
        if self.0.settings.filter.admits(&name) {
            self.0.tallies.write().push((metric_name(&name), Box::new(count)));
        }
    }

    /// The Prometheus text.
    pub fn render(&self) -> String {
        let moment = self.0.settings.labelled(PrometheusBuilder::new()).build_recorder();
        self.run_hooks(&moment, None);
        let labels = self.0.settings.common_labels();
        let shown = |(name, count): &(String, Count)| Some(count()?.render(name, &labels));
        let tallies: String = self.0.tallies.read().iter().filter_map(shown).collect();
        self.0.helps.explain(&(self.0.prometheus.handle().render() + &moment.handle().render() + &tallies))
    }

    /// Sends what hooks record, which nothing else would.
    pub(super) fn send_moment(&self) {
        if let Some(sending) = &self.0.sending {
            self.run_hooks(&PrometheusBuilder::new().build_recorder(), Some(sending));
        }
    }

    pub(super) fn has_sinks(&self) -> bool {
        self.0.sending.is_some()
    }

    fn run_hooks(&self, prometheus: &PrometheusRecorder, sending: Option<&Arc<Sending>>) {
        for (prefix, hook) in &*self.0.before_render.read() {
            let Inner { settings, helps, .. } = &*self.0;
            let recorder = Spelled { prefix, settings, prometheus, helps, sending };
            metrics::with_local_recorder(&recorder, hook);
        }
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

    fn spelled(&self) -> Spelled<'_> {
        let Inner { settings, prometheus, helps, sending, .. } = &*self.0;
        Spelled { prefix: &settings.prefix, settings, prometheus, helps, sending: sending.as_ref() }
    }
}

impl MetricSettings {
    /// Labels of every series, as go-metrics orders them. It adds the host's name as it is (SPIRE behaviour).
    fn common_labels(&self) -> Vec<(String, String)> {
        let trust_domain = self.trust_domain.as_deref().map(label_value);
        let labels = [("trust_domain", trust_domain), ("host", self.host.clone())];
        let given = labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        given.filter(|(name, _)| self.filter.admits_label(name)).collect()
    }

    fn labelled(&self, builder: PrometheusBuilder) -> PrometheusBuilder {
        let labels = self.common_labels();
        labels.into_iter().fold(builder, |builder, (name, value)| builder.add_global_label(name, value))
    }

    fn with_buckets(&self, builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
        let histograms = self.table.iter().filter_map(|metric| match metric.kind {
            Kind::Histogram(bounds) if !bounds.is_empty() => Some((full_name(metric.name, &self.prefix), bounds)),
            _ => None,
        });
        histograms.into_iter().try_fold(builder, |builder, (name, bounds)| {
            builder.set_buckets_for_metric(Matcher::Full(metric_name(&name)), bounds)
        })
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.spelled().describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.spelled().describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.spelled().describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.spelled().register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.spelled().register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.keep_up();
        self.spelled().register_histogram(key, metadata)
    }
}

/// Spells names and labels on their way into a registry and to the sinks.
struct Spelled<'a> {
    prefix: &'a str,
    settings: &'a MetricSettings,
    prometheus: &'a PrometheusRecorder,
    helps: &'a Helps,
    sending: Option<&'a Arc<Sending>>,
}

impl Spelled<'_> {
    fn series(&self, key: &Key) -> Option<Series> {
        Series::of(key, self.prefix, self.settings)
    }
}

impl Recorder for Spelled<'_> {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.helps.add(key.as_str(), self.prefix, &description);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.helps.add(key.as_str(), self.prefix, &description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        self.helps.add(key.as_str(), self.prefix, &description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        let Some(series) = self.series(key) else { return Counter::noop() };
        let shown = self.prometheus.register_counter(&series.prometheus_key(), metadata);
        match self.sending {
            None => shown,
            Some(sending) => Counter::from_arc(Arc::new(Sent { shown, series, sending: Arc::clone(sending) })),
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let Some(series) = self.series(key) else { return Gauge::noop() };
        let shown = self.prometheus.register_gauge(&series.prometheus_key(), metadata);
        match self.sending {
            None => shown,
            Some(sending) => Gauge::from_arc(Arc::new(Sent { shown, series, sending: Arc::clone(sending) })),
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let Some(series) = self.series(key) else { return Histogram::noop() };
        let shown = self.prometheus.register_histogram(&series.prometheus_key(), metadata);
        // Sinks take samples for milliseconds, and ours are seconds, in buckets of their own.
        match self.sending.filter(|_| !is_own(key.name())) {
            None => shown,
            Some(sending) => Histogram::from_arc(Arc::new(Sent { shown, series, sending: Arc::clone(sending) })),
        }
    }
}

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
            MetricSettings { prefix: "spire_server".into(), host: Some("node-1.test".into()), ..Default::default() };
        Metrics::new(&settings).unwrap()
    }

    #[test]
    fn names_and_labels_as_spire_has_them() {
        let metrics = metrics();
        metrics::with_local_recorder(&metrics, || {
            metrics::gauge!("started", "version" => "1.2", "trust_domain_id" => "example.org").set(1.0);
            metrics::counter!("server_ca.sign.x509_svid").increment(2);
        });
        let text = metrics.render();
        let started = "spire_server_started{host=\"node-1.test\",version=\"1_2\",trust_domain_id=\"example_org\"} 1\n";
        assert!(text.contains(started), "{text}");
        assert!(text.contains("# TYPE spire_server_server_ca_sign_x509_svid counter\n"), "{text}");
    }

    #[test]
    fn own_names_keep_their_prefix() {
        let metrics = metrics();
        metrics::with_local_recorder(&metrics, || metrics::counter!("steeple_proposals_total").absolute(3));
        metrics.show_tally("steeple_sync_seconds", || Some(Tally { buckets: vec![(0.002, 3)], ..Tally::default() }));
        metrics.show_tally("unknown_seconds", || None);
        let text = metrics.render();
        assert!(text.contains("\nsteeple_proposals_total{host=\"node-1.test\"} 3\n"), "{text}");
        assert!(text.contains("\nsteeple_sync_seconds_bucket{host=\"node-1.test\",le=\"0.002\"} 3\n"), "{text}");
        assert!(!text.contains("unknown"), "{text}");
    }

    #[test]
    fn hooks_run_at_each_rendering() {
        let metrics = metrics();
        let left = Arc::new(AtomicU32::new(10));
        let counted = left.clone();
        metrics.before_render(move || {
            metrics::gauge!("ca_cert_expiry_seconds").set(f64::from(counted.fetch_sub(1, Ordering::Relaxed)));
        });
        assert!(metrics.render().contains("spire_server_ca_cert_expiry_seconds{host=\"node-1.test\"} 10\n"));
        assert!(metrics.render().contains("spire_server_ca_cert_expiry_seconds{host=\"node-1.test\"} 9\n"));
    }

    #[test]
    fn what_the_table_has_is_explained_under_every_prefix_and_its_histograms_have_buckets() {
        const TABLE: &[Metric] = &[
            Metric { name: "expiry_seconds", kind: Kind::Gauge, labels: &[], help: "seconds until it ends" },
            Metric {
                name: "steeple_x_seconds",
                kind: Kind::Histogram(&[0.5, 2.0]),
                labels: &["kind"],
                help: "how long",
            },
            Metric { name: "steeple_y_seconds", kind: Kind::Histogram(&[]), labels: &[], help: "how old" },
        ];
        let settings = MetricSettings { prefix: "renamed".into(), table: TABLE, ..MetricSettings::default() };
        let metrics = Metrics::new(&settings).unwrap();
        metrics::with_local_recorder(&metrics, || {
            metrics::histogram!("steeple_x_seconds", "kind" => "a").record(1.0);
            metrics::histogram!("other").record(1.0);
        });
        for prefix in ["renamed", "spire_server"] {
            metrics.before_render_under(prefix, || metrics::gauge!("expiry_seconds").set(1.0));
        }
        metrics.show_tally("steeple_y_seconds", || Some(Tally::of(&[60.0])));
        let text = metrics.render();
        for lines in [
            "# HELP renamed_expiry_seconds seconds until it ends\n# TYPE renamed_expiry_seconds gauge\n",
            "# HELP spire_server_expiry_seconds seconds until it ends\n# TYPE spire_server_expiry_seconds gauge\n",
            "# HELP steeple_x_seconds how long\n# TYPE steeple_x_seconds histogram\n",
            "steeple_x_seconds_bucket{kind=\"a\",le=\"0.5\"} 0\nsteeple_x_seconds_bucket{kind=\"a\",le=\"2\"} 1\n",
            "# HELP steeple_y_seconds how old\n# TYPE steeple_y_seconds histogram\n",
            "# TYPE renamed_other summary\n",
        ] {
            assert!(text.contains(lines), "{lines}\n{text}");
        }
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

    #[test]
    fn what_is_filtered_out_is_neither_shown_nor_counted() {
        let filter = Filter::of_prefixes(&[], &["spire_server.rpc".to_owned()]);
        let filter = filter.with_labels(&[], &["host".to_owned(), "secret".to_owned()]);
        let settings = MetricSettings { filter, host: Some("node".into()), ..metrics().0.settings.clone() };
        let metrics = Metrics::new(&settings).unwrap();
        metrics.show_tally("rpc.seconds", || Some(Tally::default()));
        metrics::with_local_recorder(&metrics, || {
            metrics::counter!("rpc.agent.v1.agent.attest_agent").increment(1);
            metrics::counter!("started", "secret" => "x", "version" => "1").increment(1);
        });
        assert_eq!(
            metrics.render().trim(),
            "# TYPE spire_server_started counter\nspire_server_started{version=\"1\"} 1"
        );
    }

    #[test]
    fn sinks_are_told_what_happens_and_how_gauges_stand() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let address = receiver.local_addr().unwrap().to_string();
        let sink = Sink::statsd(super::super::Flavor::DogStatsd, address).unwrap();
        let settings = MetricSettings { trust_domain: Some("example.org".into()), ..metrics().0.settings.clone() };
        let metrics = Metrics::with_sinks(&settings, vec![sink]).unwrap();
        metrics::with_local_recorder(&metrics, || {
            metrics::gauge!("workload_api.connections").increment(1.0);
            metrics::gauge!("workload_api.connections").increment(1.0);
            metrics::gauge!("workload_api.connections").decrement(1.0);
            metrics::counter!("declared").increment(0);
            metrics::histogram!("steeple_wait_seconds").record(1.0);
        });
        metrics.before_render(|| metrics::gauge!("uptime_in_ms").set(5.0));
        metrics.send_moment();
        let tags = "|g|#trust_domain:example_org,host:node-1.test";
        let connections = |count| format!("spire_server.workload_api.connections:{count}{tags}");
        let expected = [connections(1), connections(2), connections(1), format!("spire_server.uptime_in_ms:5{tags}")];
        let (mut lines, mut packet) = (Vec::new(), [0; 4096]);
        while lines.len() < expected.len() {
            let length = receiver.recv(&mut packet).unwrap();
            lines.extend(std::str::from_utf8(&packet[..length]).unwrap().lines().map(str::to_owned));
        }
        assert_eq!(lines, expected);
    }
}
