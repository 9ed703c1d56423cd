//! Health and metrics listeners.

use std::sync::Arc;

use steeple_cli::hostname;
use steeple_config::AgentSettings;
use steeple_telemetry::health::Checks;
use steeple_telemetry::metric::{self, OwnTls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::check;
use crate::metrics;
use crate::shared::Shared;

/// Health and metrics over HTTP, where configured. They answer from the start, so that a probe sees an agent that
/// cannot attest.
pub async fn serve(
    settings: &AgentSettings,
    shared: &Shared,
    own: &OwnTls,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    serve_health(settings, shared, tasks, stop).await?;
    serve_metrics(settings, shared, own, tasks, stop).await
}

async fn serve_health(
    settings: &AgentSettings,
    shared: &Shared,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let health = &settings.health_checks;
    if !health.listener_enabled {
        return Ok(());
    }
    let cache = Arc::clone(&shared.cache);
    let checks = Checks::builder()
        .check("agent", move || {
            let report = check(&cache);
            async move { report }
        })
        .build();
    let listener = steeple_telemetry::bind_health(&health.listen).await?;
    let router = steeple_telemetry::health::router(checks, health.live_path.clone(), health.ready_path.clone());
    tasks.spawn(steeple_telemetry::serve(listener, router, stop.clone().cancelled_owned()));
    Ok(())
}

async fn serve_metrics(
    settings: &AgentSettings,
    shared: &Shared,
    own: &OwnTls,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let telemetry = &settings.telemetry;
    let installed = metric::install(telemetry, DEFAULT_PREFIX, hostname, &settings.trust_domain, metrics::ALL)?;
    let Some(recorder) = installed else { return Ok(()) };
    let trust_domain = settings.trust_domain.to_string();
    ::metrics::gauge!(metrics::STARTED, "version" => env!("CARGO_PKG_VERSION"), "trust_domain_id" => trust_domain)
        .set(1.0);
    metrics::declare();
    let (cache, clock) = (Arc::clone(&shared.cache), Arc::clone(&shared.clock));
    let ages = move || metrics::svid_ages(&cache.entries(), clock.now());
    let again = ages.clone();
    recorder.show_tally(metrics::WORKLOAD_SVID_AGE_SECS, move || Some(ages().seconds));
    recorder.show_tally(metrics::WORKLOAD_SVID_AGE_RATIO, move || Some(again().ratio));
    let (cache, jwt_cache, started_at) = (Arc::clone(&shared.cache), Arc::clone(&shared.jwt_cache), shared.started_at);
    recorder.before_render(move || {
        ::metrics::gauge!(metrics::SVIDS, "svid_type" => "x509").set(cache.svid_count() as f64);
        ::metrics::gauge!(metrics::ENTRIES, "svid_type" => "x509").set(cache.entries().len() as f64);
        ::metrics::gauge!(metrics::JWT_SVIDS).set(jwt_cache.len() as f64);
        ::metrics::gauge!(metrics::UPTIME_MS).set(started_at.elapsed().as_millis() as f64);
    });
    Ok(metric::start(recorder, telemetry, own, tasks, stop).await?)
}

/// SPIRE's, unless `MetricPrefix` says otherwise.
const DEFAULT_PREFIX: &str = "spire_agent";
