//! A server put together over a replica that runs: what answers calls, and what acts by itself. It knows no signals and
//! no sockets: [`crate::app`] brings those of a process, a simulation its own.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use steeple_cli::PluginDataFiles;
use steeple_config::ServerSettings;
use steeple_core::Clock;
use steeple_core::plugin::{BundlePublisher, CredentialComposer, NodeAttestor};
use steeple_storage::Meter;
use steeple_telemetry::log::Ledger;
use steeple_telemetry::metric::CountedBody;
use steeple_transport::tls::Accept;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;

use crate::acknowledgement::Acknowledgements;
use crate::applied_index::AppliedIndex;
use crate::audit::AuditLayer;
use crate::audit::trail::OpenTrail;
use crate::authz::{Authorizer, Policy, RateLimits};
use crate::backup::Backups;
use crate::bundle_publishers::bundle_publishers;
use crate::credential_composers::credential_composers;
use crate::driver::audit::{AuditDriver, ReplicaPosition};
use crate::driver::federation::{BundleAges, FederationDriver};
use crate::driver::{self, Told};
use crate::endpoint::{self, Gate};
use crate::entry_watch::Feed;
use crate::federation::Relationships;
use crate::freshness::Freshness;
use crate::identity::ServerIdentity;
use crate::issue::Issuer;
use crate::metrics::{AgentAges, Observed};
use crate::node_attestors::{OwnRootsOf, node_attestors};
use crate::own_replica::OwnReplica;
use crate::plugin_host::{ExternalPlugins, PluginHost};
use crate::service::{Shared, Subscribers, Switches};
use crate::signing;
use crate::upstream_authority::Upstream;

/// What the configuration names and can be refused. It is made before the first replicated effect.
pub struct Parts {
    started_at: Instant,
    policy: Option<Policy>,
    own_roots: OwnRootsOf,
    attestors: BTreeMap<String, Arc<dyn NodeAttestor>>,
    upstream: Option<Upstream>,
    composers: Vec<Arc<dyn CredentialComposer>>,
    publishers: Vec<Arc<dyn BundlePublisher>>,
    host: PluginHost,
    trail: Option<OpenTrail>,
}

pub struct Assembly {
    pub shared: Arc<Shared>,
    pub gate: Gate,
    pub identity: ServerIdentity,
    /// Of those that were polled.
    pub bundle_ages: BundleAges,
    /// With an `audit` block.
    pub anchors: Option<AuditDriver>,
    meter: Meter,
    told: Told,
}

impl Parts {
    pub async fn of(
        settings: &ServerSettings,
        clock: &Arc<dyn Clock>,
        external: &ExternalPlugins,
        plugin_data: &mut PluginDataFiles,
    ) -> anyhow::Result<Self> {
        let own_roots = OwnRootsOf::default();
        let ExternalPlugins { catalog, host } = external;
        Ok(Self {
            started_at: Instant::now(),
            policy: settings.policy.as_ref().map(|policy| Policy::resolve(policy, &settings.admin_ids)).transpose()?,
            attestors: node_attestors(settings, &own_roots, clock, catalog, plugin_data).await?,
            own_roots,
            upstream: Upstream::from_settings(settings, clock, catalog, plugin_data).await?,
            composers: credential_composers(settings, catalog, plugin_data).await?,
            publishers: bundle_publishers(settings, catalog, plugin_data).await?,
            host: host.clone(),
            trail: settings.audit.as_ref().map(OpenTrail::open).transpose()?,
        })
    }
}

impl Assembly {
    /// `ledger`: where calls are put on record beside the audit file, if at all. What follows the state runs until
    /// `stop`; nothing acts before [`Self::drive`].
    pub fn new(
        settings: &ServerSettings,
        parts: Parts,
        own: OwnReplica,
        identity: ServerIdentity,
        clock: &Arc<dyn Clock>,
        ledger: Option<Ledger>,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) -> anyhow::Result<Self> {
        let Parts { started_at, policy, own_roots, attestors, upstream, composers, publishers, host, trail } = parts;
        own_roots.read_from(&own.replica);
        host.read_from(&own.replica);
        let maker = signing::start(settings, &own, composers, upstream, clock);
        tasks.spawn(own.custodian.run(own.sealing_key.clone(), own.replica.clone(), stop.clone()));
        let replica = own.replica;
        let trail = trail
            .map(|open| open.start(ReplicaPosition::of(&replica, own.beginning), Arc::clone(clock)))
            .transpose()?;
        let audit = AuditLayer::new(ledger, trail.clone());
        let (server_svid, shown) = watch::channel(None);
        let acknowledgements = Arc::new(Acknowledgements::new(replica.state().clone(), shown.clone(), started_at));
        replica.set_acknowledgement_handler(Arc::clone(&acknowledgements) as _);
        let relationships = Arc::new(Relationships::new(settings.federation.relationships.iter().cloned()));
        let (entry_feed, followed) = Feed::of(&replica, stop.clone());
        tasks.spawn(followed);
        let (freshness, followed) = Freshness::of(replica.clone(), stop.clone());
        tasks.spawn(followed);
        let shared = Arc::new(Shared {
            replica: replica.clone(),
            freshness,
            issuer: Issuer::new(replica.clone()),
            maker,
            acknowledgements: Arc::clone(&acknowledgements),
            backups: Backups::new(replica.clone(), own.sealing_key.clone(), Arc::clone(clock)),
            sealing_key: own.sealing_key,
            trust_domain: settings.trust_domain.clone(),
            clock: Arc::clone(clock),
            attestors,
            switches: Switches {
                jwt_svids_disabled: settings.disable_jwt_svids,
                wit_svids: settings.wit.is_some(),
                agent_id_as_selector: settings.agent_spiffe_id_as_selector,
            },
            relationships: Arc::clone(&relationships),
            audit: audit.clone(),
            server_svid: shown,
            subscribers: Subscribers::new(replica.clone()),
            entry_feed,
            started_at,
        });
        tasks.spawn(Arc::clone(&shared.subscribers).follow(stop.clone()));

        let limits = RateLimits::new(settings.rate_limit);
        let admins = settings.admin_ids.iter().cloned();
        let authorizer = Authorizer::new(replica.clone(), admins, policy, limits, acknowledgements, Arc::clone(clock));
        let applied_index = AppliedIndex::of(replica.clone());
        let gate = Gate { authorize: authorizer.layer(), audit, applied_index };

        let bundle_ages = BundleAges::default();
        let (clock, ages) = (Arc::clone(clock), bundle_ages.clone());
        let federation = FederationDriver { replica: replica.clone(), clock, relationships, ages };
        let anchors = trail.zip(settings.audit.as_ref()).map(|(trail, settings)| {
            let interval = settings.anchor_interval;
            AuditDriver { replica, trail, interval }
        });
        let told = Told { federation, publishers, server_svid, host };
        Ok(Self { shared, gate, identity, bundle_ages, anchors, meter: own.meter, told })
    }

    /// For the metrics.
    pub fn observed(&self, settings: &ServerSettings) -> Observed {
        let Shared { replica, sealing_key, clock, started_at, subscribers, .. } = self.shared.as_ref();
        Observed {
            replica: replica.clone(),
            sealing_key: sealing_key.clone(),
            meter: self.meter.clone(),
            bundle_ages: self.bundle_ages.clone(),
            clock: Arc::clone(clock),
            x509_svid_ttl: settings.ttl.x509_svid,
            agent_ttl: settings.ttl.agent,
            started_at: *started_at,
            agent_ages: AgentAges::default(),
            subscribers: Arc::clone(subscribers),
        }
    }

    /// The drivers begin, and run until `stop`. What is left serves.
    pub fn drive(self, settings: &ServerSettings, tasks: &TaskTracker, stop: &CancellationToken) -> Driven {
        let Self { shared, gate, identity, told, .. } = self;
        driver::start(settings, &shared, &identity, told, tasks, stop);
        Driven { shared, gate, identity }
    }
}

/// An assembly whose drivers run.
pub struct Driven {
    pub shared: Arc<Shared>,
    pub gate: Gate,
    pub identity: ServerIdentity,
}

impl Driven {
    /// Waits for the first SVID. Until there is a key for one, whoever connects is sent away.
    pub async fn until_it_can_show_itself(&self, listener: &mut impl Accept) -> anyhow::Result<()> {
        let mut shown = self.shared.server_svid.clone();
        tokio::select! {
            shown = shown.wait_for(Option::is_some) => drop(shown?),
            () = endpoint::turn_away(listener, &self.shared.sealing_key) => {}
        }
        Ok(())
    }

    /// What the admin socket serves, but for the log of the process: for whoever has no process.
    pub fn admin_service(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<CountedBody<Body>>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static {
        self.gate.guarded(endpoint::for_administrators(&self.shared).routes(), |_| true)
    }

    /// Serves agents and remote administrators until `stop`.
    pub fn serve(
        &self,
        settings: &ServerSettings,
        (listener, address): (impl Accept, SocketAddr),
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let acceptor = self.identity.acceptor(settings, &self.shared.clock)?;
        endpoint::serve_tcp((listener, address), acceptor, &self.shared, &self.gate, tasks, stop);
        Ok(())
    }
}
