//! Health, metrics and OIDC discovery over HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steeple_acme::Directory;
use steeple_cli::hostname;
use steeple_config::ServerSettings;
use steeple_core::JwtAuthority;
use steeple_oidc::{KeySet, KeySource, SourceError};
use steeple_telemetry::health::{Checks, Report};
use steeple_telemetry::metric::{self, Metrics, OwnTls};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::driver::acme::certificates_by_acme;
use crate::freshness::Freshness;
use crate::metrics::{self, Observed};
use crate::peer::JoinProgress;
use crate::raft::Replica;
use crate::service::Shared;

/// `live` means that this process works; it never depends on a quorum, or a partition would restart every replica.
/// `ready` means that it can serve: its leader answers, it has the bundle, and can have things signed. Both answer from
/// the start; `shared` comes once this replica belongs to a cluster, for which it may have to wait.
///
/// They answer until what is returned is dropped.
pub async fn serve_health(
    settings: &ServerSettings,
    shared: Arc<OnceLock<Arc<Shared>>>,
    progress: JoinProgress,
) -> anyhow::Result<Option<DropGuard>> {
    let health = &settings.health_checks;
    if !health.listener_enabled {
        return Ok(None);
    }
    let checks = Checks::builder()
        .check("catalog.datastore", {
            let shared = Arc::clone(&shared);
            move || {
                let report = shared.get().map_or_else(Report::ok, |shared| datastore(&shared.replica));
                async move { report }
            }
        })
        .check("server", {
            let shared = Arc::clone(&shared);
            move || {
                let has_bundle = |shared: &Arc<Shared>| shared.replica.state().read().own_bundle().is_some();
                let report = match shared.get().map(|shared| (shared.freshness.check(), shared)) {
                    Some((Err(stale), _)) => Report::not_ready("get_bundle_err", stale.to_string()),
                    Some((Ok(()), shared)) if has_bundle(shared) => Report::ok(),
                    Some(_) => Report::not_ready("get_bundle_err", "the bundle is not there yet"),
                    None => Report::not_ready("get_bundle_err", progress.describe()),
                };
                async move { report }
            }
        })
        .check("server.ca", {
            let shared = Arc::clone(&shared);
            move || {
                let report = match shared.get().map(signs) {
                    Some(Ok(())) => Report::ok(),
                    Some(Err(why)) => Report::not_ready("sign_x509_svid_err", why),
                    None => Report::not_ready("sign_x509_svid_err", NO_SIGNER),
                };
                async move { report }
            }
        })
        .check("server.ca.rotator", || async { Report::ok() })
        .build();
    let listener = steeple_telemetry::bind_health(&health.listen).await?;
    let router = steeple_telemetry::health::router(checks, health.live_path.clone(), health.ready_path.clone());
    let stop = CancellationToken::new();
    tokio::spawn(steeple_telemetry::serve(listener, router, stop.clone().cancelled_owned()));
    Ok(Some(stop.drop_guard()))
}

/// A state that is not the cluster's stays so however often the process is started again: it is not dead for it.
fn datastore(replica: &Replica) -> Report {
    match (replica.divergence(), replica.status().stopped) {
        (Some(divergence), _) => Report::not_ready("list_bundle_err", divergence.to_string()),
        (None, Some(reason)) => Report::dead("list_bundle_err", reason),
        (None, None) => Report::ok(),
    }
}

/// Whether this replica can have things signed, or why not.
fn signs(shared: &Arc<Shared>) -> Result<(), String> {
    shared.sealing_key.check().map_err(|sealed| sealed.to_string())?;
    match shared.server_svid.borrow().is_some() && shared.replica.status().leader_id.is_some() {
        true => Ok(()),
        false => Err(NO_SIGNER.to_owned()),
    }
}

/// Records from now on, where the metrics are wanted: what happens before would not be counted.
/// The endpoint answers from the start too: a replica may have to wait long before it belongs to a cluster.
pub async fn record_metrics(
    settings: &ServerSettings,
    own: &OwnTls,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Metrics>> {
    let (telemetry, trust_domain) = (&settings.telemetry, &settings.trust_domain);
    let installed = metric::install(telemetry, DEFAULT_PREFIX, hostname, trust_domain, metrics::ALL)?;
    let Some(recorder) = installed else { return Ok(None) };
    let (version, trust_domain) = (env!("CARGO_PKG_VERSION"), trust_domain.to_string());
    ::metrics::gauge!(metrics::STARTED, "version" => version, "trust_domain_id" => trust_domain).set(1.0);
    metrics::declare();
    metric::start(recorder.clone(), telemetry, own, tasks, stop).await?;
    Ok(Some(recorder))
}

/// What is looked at when somebody asks for the metrics.
pub fn observe(settings: &ServerSettings, recorder: &Metrics, observed: Observed) {
    for prefix in BTreeSet::from([metric::prefix(&settings.telemetry, DEFAULT_PREFIX), DEFAULT_PREFIX]) {
        let (replica, clock) = (observed.replica.clone(), Arc::clone(&observed.clock));
        recorder.before_render_under(prefix, move || metrics::observe_expiry(&replica, clock.now()));
    }
    let meter = observed.meter.clone();
    recorder.show_tally(metrics::WAL_SYNC_SECS, move || metrics::wal_syncs(&meter));
    let ages = observed.agent_ages.clone();
    recorder.show_tally(metrics::AGENT_SVID_AGE_SECS, move || Some(ages.seconds()));
    let ages = observed.agent_ages.clone();
    recorder.show_tally(metrics::AGENT_SVID_AGE_RATIO, move || Some(ages.ratio()));
    recorder.before_render(move || observed.observe());
}

/// The `oidc {}` block: an OIDC discovery provider on every replica, from its own state.
pub async fn serve_oidc(
    settings: &ServerSettings,
    shared: &Shared,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(oidc) = &settings.oidc else { return Ok(()) };
    let keys = Arc::new(KeySet::new());
    let by_acme = oidc.acme().map(|acme| {
        let directory = Directory { url: acme.directory_url.clone(), email: acme.email.clone(), tos_accepted: true };
        certificates_by_acme(shared, directory, oidc.domains.clone(), tasks, stop)
    });
    steeple_oidc::serve(oidc, Arc::clone(&keys), by_acme, tasks, stop).await?;
    let (replica, stop) = (shared.replica.clone(), stop.clone());
    let own = OwnKeys { replica, freshness: shared.freshness.clone() };
    tasks.spawn(async move { steeple_oidc::poll(own, OIDC_POLL_INTERVAL, &keys, stop).await });
    Ok(())
}

/// The JWT authorities in this replica's state.
struct OwnKeys {
    replica: Replica,
    freshness: Freshness,
}

impl KeySource for OwnKeys {
    async fn fetch(&self) -> Result<Vec<JwtAuthority>, SourceError> {
        self.freshness.check().map_err(|stale| SourceError::NotReady(stale.to_string()))?;
        let state = self.replica.state().read();
        let bundle =
            state.own_bundle().ok_or_else(|| SourceError::NotReady("the server has no bundle yet".to_owned()))?;
        Ok(bundle.jwt_authorities.clone())
    }
}

const NO_SIGNER: &str = "no leader that signs answers; see the log and `cluster status`";
/// A look at the memory.
const OIDC_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// SPIRE's.
const DEFAULT_PREFIX: &str = "spire_server";
