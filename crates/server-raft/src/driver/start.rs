//! Starts every driver of one server.

use std::sync::Arc;

use steeple_config::ServerSettings;
use steeple_core::plugin::BundlePublisher;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backup::BackupDriver;
use super::ca::CaDriver;
use super::federation::FederationDriver;
use super::new_sealing_key::NewSealingKeyDriver;
use super::prune::{PruneAgents, PruneDriver};
use super::publish::PublishDriver;
use super::reseal::ResealDriver;
use super::roots;
use super::server_svid::{ServerSvid, ServerSvidDriver};
use super::upstream::UpstreamDriver;
use crate::identity::ServerIdentity;
use crate::issue::Issuer;
use crate::plugin_host::PluginHost;
use crate::service::Shared;

/// What the drivers work on, and tell the rest of the server.
pub struct Told {
    /// Of whom this replica fetches bundles while it leads.
    pub federation: FederationDriver,
    /// Where the own bundle is shown.
    pub publishers: Vec<Arc<dyn BundlePublisher>>,
    /// The own SVID, when there is one.
    pub server_svid: watch::Sender<Option<ServerSvid>>,
    /// What plugins are shown of it.
    pub host: PluginHost,
}

/// They run until `stop`.
pub fn start(
    settings: &ServerSettings,
    shared: &Shared,
    identity: &ServerIdentity,
    told: Told,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let (replica, clock) = (&shared.replica, &shared.clock);
    tasks.spawn(roots::run(replica.clone(), Arc::clone(&identity.roots), stop.clone()));
    let kinds = shared.switches.kinds();
    let ca = Arc::new(CaDriver { maker: Arc::clone(&shared.maker), clock: Arc::clone(clock), kinds });
    tasks.spawn(UpstreamDriver { ca: Arc::clone(&ca) }.run(stop.clone()));
    tasks.spawn(ca.run(stop.clone()));
    let reseal = ResealDriver { replica: replica.clone(), keys: Arc::clone(&shared.maker.keys) };
    tasks.spawn(reseal.run(stop.clone()));
    let new_key = NewSealingKeyDriver { replica: replica.clone(), sealing_key: shared.sealing_key.clone() };
    tasks.spawn(new_key.run(stop.clone()));
    let prune = PruneDriver {
        replica: replica.clone(),
        clock: Arc::clone(clock),
        agents: settings.prune_attested_nodes.map(|prune| PruneAgents {
            expired_for: prune.expired_for,
            batch_size: prune.batch_size,
            include_tofu: prune.tofu_nodes,
        }),
    };
    tasks.spawn(prune.run(stop.clone()));
    tasks.spawn(told.federation.run(stop.clone()));
    for publisher in told.publishers {
        let (replica, trust_domain) = (replica.clone(), settings.trust_domain.clone());
        tasks.spawn(PublishDriver { replica, trust_domain, publisher }.run(stop.clone()));
    }
    if let Some(schedule) = settings.cluster.backup.clone() {
        let driver = BackupDriver {
            backups: shared.backups.clone(),
            clock: Arc::clone(clock),
            trust_domain: settings.trust_domain.clone(),
            schedule,
            data_dir: settings.data_dir.clone(),
        };
        tasks.spawn(driver.run(stop.clone()));
    }
    let own_svid = ServerSvidDriver {
        replica: replica.clone(),
        issuer: Issuer::new(replica.clone()),
        trust_domain: settings.trust_domain.clone(),
        key_type: settings.ca.key_type,
        store: Arc::clone(&identity.store),
        roots: Arc::clone(&identity.roots),
        clock: Arc::clone(clock),
        shown: told.server_svid,
        host: told.host,
    };
    tasks.spawn(own_svid.run(stop.clone()));
}
