//! From the `telemetry` section to the places where metrics go.

use std::time::Duration;

use steeple_config::{SinkSettings, TelemetrySettings};
use steeple_core::TrustDomain;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::{MetricTls, MetricTlsError, OwnTls};
use super::{Filter, Flavor, Metric, MetricSettings, Metrics, MetricsError, Sink, router};
use crate::http::{HttpError, bind, serve};

/// Records from now on, for the whole process, where the section names any place. What happens before is not counted.
/// `table` explains the metrics.
pub fn install(
    settings: &TelemetrySettings,
    default_prefix: &str,
    hostname: impl FnOnce() -> String,
    trust_domain: &TrustDomain,
    table: &'static [Metric],
) -> Result<Option<Metrics>, MetricsError> {
    let TelemetrySettings { prometheus, statsd, dogstatsd, m3, in_mem, .. } = settings;
    if prometheus.is_none() && statsd.is_empty() && dogstatsd.is_empty() && m3.is_empty() && !in_mem {
        return Ok(None);
    }
    let prefix = prefix(settings, default_prefix);
    let of = |flavor: Flavor| move |sink: &SinkSettings| Sink::statsd(flavor, sink.address.clone());
    let statsd = statsd.iter().map(of(Flavor::Statsd)).chain(dogstatsd.iter().map(of(Flavor::DogStatsd)));
    let m3 = m3.iter().map(|sink| Sink::m3(prefix, sink.address.clone(), sink.env.clone()));
    let sinks = statsd.chain(m3);
    let filter = Filter::of_prefixes(&settings.allowed_prefixes, &settings.blocked_prefixes);
    let shape = MetricSettings {
        prefix: prefix.to_owned(),
        host: settings.hostname_label.then(hostname),
        trust_domain: settings.trust_domain_label.then(|| trust_domain.to_string()),
        filter: filter.with_labels(&settings.allowed_labels, &settings.blocked_labels),
        table,
    };
    let metrics = Metrics::with_sinks(&shape, sinks.collect::<Result<_, _>>()?)?;
    metrics.install()?;
    Ok(Some(metrics))
}

/// The configured prefix, or the program's own.
pub fn prefix<'a>(settings: &'a TelemetrySettings, default: &'a str) -> &'a str {
    if settings.metric_prefix.is_empty() { default } else { &settings.metric_prefix }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("failed to create TLS config for Prometheus: {0}")]
    Tls(#[from] MetricTlsError),
}

/// Serves, sends and dumps until `stop`, once all hooks are there.
pub async fn start(
    metrics: Metrics,
    settings: &TelemetrySettings,
    own: &OwnTls,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    if let Some(prometheus) = &settings.prometheus {
        let tls = prometheus.tls.as_ref().map(|tls| MetricTls::new(tls, own)).transpose()?;
        let listener = bind(&prometheus.listen, "telemetry.Prometheus.port").await?;
        let router = router(metrics.clone());
        match tls {
            Some(tls) => tls.serve(listener, router, tasks, stop),
            None => drop(tasks.spawn(serve(listener, router, stop.clone().cancelled_owned()))),
        }
    }
    if settings.in_mem {
        tasks.spawn(stop.clone().run_until_cancelled_owned(dump(metrics.clone())));
    }
    if metrics.has_sinks() {
        tasks.spawn(stop.clone().run_until_cancelled_owned(send(metrics)));
    }
    Ok(())
}

/// Gauges that are functions of the moment are sent now and then.
async fn send(metrics: Metrics) {
    let mut ticks = interval(SEND_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.send_moment();
    }
}

/// `InMem`: SIGUSR1 puts all metrics into the log.
async fn dump(metrics: Metrics) {
    let mut signals = match signal(SignalKind::user_defined1()) {
        Ok(signals) => signals,
        Err(error) => return tracing::warn!(%error, "Unknown logging subsystem; disabling telemetry signaling"),
    };
    while signals.recv().await.is_some() {
        for line in metrics.render().lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            tracing::info!(metric = line, "Telemetry");
        }
    }
}

/// SPIRE's for its uptime.
const SEND_INTERVAL: Duration = Duration::from_secs(10);
