//! The life of the server: what can be refused is tried, a replica starts, drivers and listeners follow, and it ends in
//! order.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use steeple_cli::{
    PluginDataFiles, ReloadSignals, StopSignals, Supervisor, forbid_core_dumps, raise_open_files, restrict_umask,
};
use steeple_config::{Loaded, NoticeLevel, ServerSettings};
use steeple_telemetry::log::Logging;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::assembly::{Assembly, Driven, Parts};
use crate::driver::audit::AuditDriver;
use crate::federation::BundleEndpoint;
use crate::first_steps::first_steps;
use crate::identity::ServerIdentity;
use crate::own_replica::OwnReplica;
use crate::peer::JoinProgress;
use crate::plugin_host::ExternalPlugins;
use crate::raft::{Removed, Replica};
use crate::surroundings::Surroundings;
use crate::{endpoint, http};

/// Settings and log, before anything runs.
pub struct App {
    settings: ServerSettings,
    logging: Logging,
}

/// What serves the network, once there is an SVID to show.
struct Network {
    tcp: TcpListener,
    bundle_endpoint: Option<BundleEndpoint>,
    driven: Driven,
    supervisor: Supervisor,
}

impl App {
    /// Starts the log and says what of the configuration needs saying.
    pub fn new(loaded: Loaded<ServerSettings>) -> anyhow::Result<Self> {
        let Loaded { settings, notices } = loaded;
        restrict_umask(FOR_THE_OWNER_ONLY);
        forbid_core_dumps();
        raise_open_files();
        let logging = steeple_telemetry::log::start(&settings.log).context("log")?;
        for notice in notices {
            match notice.level {
                NoticeLevel::Info => tracing::info!("{}", notice.message),
                NoticeLevel::Warn => tracing::warn!("{}", notice.message),
            }
        }
        Ok(Self { settings, logging })
    }

    /// Runs until a signal, until this replica is no member any more ([`Removed`]), or until its consensus stops.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let external = ExternalPlugins::of(&self.settings);
        runtime.block_on(async {
            let ended = self.live(&external).await;
            external.unload().await;
            ended
        })
    }

    async fn live(self, external: &ExternalPlugins) -> anyhow::Result<()> {
        let Self { settings, logging } = self;
        let mut signals = StopSignals::new()?;
        let supervisor = Supervisor::of_process();
        tokio::spawn(supervisor.clone().keep_alive());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let surroundings = Surroundings::real();
        let clock = &surroundings.clock;
        tokio::spawn(logging.clone().answer_signals()?);
        let reload = ReloadSignals::new()?;
        tracing::info!(
            data_dir = %settings.data_dir.display(),
            version = env!("CARGO_PKG_VERSION"),
            trust_domain_id = %settings.trust_domain.id(),
            "Configured"
        );

        // Everything that can be refused is tried before the first replicated effect.
        let mut plugin_data = PluginDataFiles::default();
        let parts = Parts::of(&settings, clock, external, &mut plugin_data).await?;
        tasks.spawn(stop.clone().run_until_cancelled_owned(plugin_data.follow(reload)));
        let tcp = endpoint::bind_tcp(&settings.bind).await?;
        let admin = endpoint::bind_admin(&settings.socket_path)?;
        let bundle_endpoint = match &settings.federation.bundle_endpoint {
            Some(endpoint) => Some(BundleEndpoint::bind(endpoint).await?),
            None => None,
        };
        let (joined, progress) = (Arc::new(OnceLock::new()), JoinProgress::default());
        let identity = ServerIdentity::new(&settings, clock);
        let recorder = http::record_metrics(&settings, &identity.own_tls(clock), &tasks, &stop).await?;
        let probes = http::serve_health(&settings, Arc::clone(&joined), progress.clone()).await?;

        // The first of three replicas waits for the second, which a supervisor that waited for it would never start.
        supervisor.ready("waits for its cluster");
        let own = tokio::select! {
            started = OwnReplica::start(&settings, &surroundings, &progress) => started?,
            () = endpoint::serve_waiting(&admin, &progress) => bail!("the admin socket ended before the server"),
            () = signals.received() => return Ok(()),
        };
        let rival = own.rival(&settings, &surroundings);
        let replica = own.replica.clone();
        let ledger = settings.audit_log_enabled.then(|| logging.ledger());
        let assembly = Assembly::new(&settings, parts, own, identity, clock, ledger, (&tasks, &stop))?;
        let _ = joined.set(Arc::clone(&assembly.shared));
        if let Some(recorder) = recorder {
            http::observe(&settings, &recorder, assembly.observed(&settings));
        }
        // What answers for the cluster ends before the rest where this replica may not speak for it.
        let serving = stop.child_token();
        http::serve_oidc(&settings, &assembly.shared, &tasks, &serving).await?;
        let anchors = assembly.anchors.clone();
        let driven = assembly.drive(&settings, &tasks, &stop);
        if let Some(driver) = anchors.clone() {
            tasks.spawn(driver.run(signal(SignalKind::user_defined2())?, stop.clone()));
        }

        // The admin socket does not wait for an SVID: an operator wants to know why a server is not ready.
        endpoint::serve_admin(admin, &driven.shared, logging.levels, &driven.gate, &tasks, &stop);
        let network = Network { tcp, bundle_endpoint, driven, supervisor: supervisor.clone() };
        let ended = tokio::select! {
            failed = network.serve(&settings, &tasks, &serving) => match failed? {},
            _ = replica.diverged() => {
                // The admin socket, probes and metrics stay: they say why.
                serving.cancel();
                tokio::select! {
                    removed = replica.removed() => Some(anyhow::Error::new(removed)),
                    failed = replica.failed() => Some(anyhow::Error::new(failed)),
                    () = signals.received() => None,
                }
            }
            removed = replica.removed() => Some(anyhow::Error::new(removed)),
            failed = replica.failed() => Some(anyhow::Error::new(failed)),
            rival = rival => Some(anyhow::Error::new(rival)),
            () = signals.received() => None,
        };
        supervisor.stopping();
        let Some(reason) = ended else {
            drop(probes);
            end(&replica, anchors.as_ref(), &tasks, &stop).await;
            tracing::info!("Server stopped gracefully");
            return Ok(());
        };
        end(&replica, anchors.as_ref(), &tasks, &stop).await;
        // Probes are answered for a while longer: they say what happened to those who do not read this log.
        if probes.is_some() {
            tokio::select! {
                () = tokio::time::sleep(END_SHOWN_FOR) => {}
                () = signals.received() => {}
            }
        }
        Err(reason.context(format!("data directory {}", settings.data_dir.display())))
    }
}

impl Network {
    /// Waits for the first SVID, and ends only by failing.
    async fn serve(
        self,
        settings: &ServerSettings,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<Infallible> {
        let Self { mut tcp, bundle_endpoint, driven, supervisor } = self;
        driven.until_it_can_show_itself(&mut tcp).await?;
        if let Some(endpoint) = bundle_endpoint {
            let Driven { shared, identity, .. } = &driven;
            endpoint.serve(shared, Arc::clone(&identity.store), identity.key_exchange, tasks, stop)?;
        }
        let address = tcp.local_addr()?;
        driven.serve(settings, (tcp, address), tasks, stop)?;
        supervisor.status("serves");
        if settings.config_path.is_none() {
            print!("{}", first_steps(settings, std::env::args().next().as_deref().unwrap_or_default()));
        }
        std::future::pending().await
    }
}

/// What scripts and supervisors tell the ends of a server by.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Removed>() { REMOVED } else { FAILED }
}

/// Stops taking connections, sends clients away and hands over leadership, then stops the replica: calls that are under
/// way need one.
async fn end(replica: &Replica, anchors: Option<&AuditDriver>, tasks: &TaskTracker, stop: &CancellationToken) {
    tracing::info!("Stopping server");
    stop.cancel();
    tasks.close();
    let last_calls = tokio::time::timeout(LAST_CALLS_MAX, tasks.wait());
    // Whatever does not end in time is waited for below.
    let (_, ()) = tokio::join!(last_calls, replica.hand_over());
    if let Some(anchors) = anchors {
        // The last calls are on record then, and there is still a quorum to ask.
        anchors.end().await;
    }
    let drained = tokio::time::timeout(DRAIN_MAX, tasks.wait());
    let (drained, ()) = tokio::join!(drained, replica.halt());
    if drained.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
}

/// The store's files hold what an attacker could try keys on, and RocksDB asks for nothing stricter. Sockets and the
/// log file have modes of their own.
const FOR_THE_OWNER_ONLY: u32 = 0o077;
/// Streams end at once; calls take milliseconds, and as long as an election while leadership is handed over.
const LAST_CALLS_MAX: Duration = Duration::from_secs(3);
/// SPIRE's limit for a graceful stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Kubernetes asks every ten seconds unless told otherwise.
const END_SHOWN_FOR: Duration = Duration::from_secs(12);
/// Exit code of every other failure.
const FAILED: u8 = 1;
/// Starting again will not help, as it may after a failure: this is no member of the cluster.
const REMOVED: u8 = 3;
