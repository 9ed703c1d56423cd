//! What external plugins may ask this server. Plugins are started, and refused, before there is a replica.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use steeple_config::ServerSettings;
use steeple_core::{Bundle, Secret, SpiffeId};
use steeple_plugins::external::{Catalog, HostIdentity, HostServices, ServerAnswers};

use crate::raft::{Replica, SharedState};

/// The external plugins of this server, and what they are told.
pub struct ExternalPlugins {
    pub(crate) catalog: Catalog,
    pub(crate) host: PluginHost,
}

/// Cheap to clone.
#[derive(Clone, Default)]
pub struct PluginHost(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is a plugin that could ask: the private key is kept for nobody else.
    is_asked: bool,
    state: OnceLock<SharedState>,
    shown: Mutex<Option<(Vec<Vec<u8>>, Secret)>>,
}

impl ExternalPlugins {
    /// None is started yet.
    pub fn of(settings: &ServerSettings) -> Self {
        let host = PluginHost::of(settings);
        Self { catalog: catalog(settings, &host), host }
    }

    /// The orderly end of all that were started.
    pub async fn unload(&self) {
        self.catalog.unload().await;
    }
}

/// None of its plugins hears what opens the seal, or our buckets.
pub(crate) fn catalog(settings: &ServerSettings, host: &PluginHost) -> Catalog {
    let catalog = Catalog::new(settings.trust_domain.clone(), host.services());
    catalog.withholding(settings.cluster.secret_variables())
}

impl PluginHost {
    pub fn of(settings: &ServerSettings) -> Self {
        let is_asked = settings.plugins.iter().any(|block| block.enabled && block.plugin_cmd.is_some());
        Self(Arc::new(Inner { is_asked, ..Inner::default() }))
    }

    pub fn read_from(&self, replica: &Replica) {
        // Called once, when the replica has started.
        let _ = self.0.state.set(replica.state().clone());
    }

    /// What the server shows from now on: DER, leaf first, and its key.
    pub fn show(&self, chain: &[Vec<u8>], key: &Secret) {
        if self.0.is_asked {
            *self.0.shown.lock() = Some((chain.to_vec(), key.duplicate()));
        }
    }

    pub fn services(&self) -> HostServices {
        let (identity, agents) = (self.clone(), self.clone());
        HostServices {
            server: Some(ServerAnswers {
                identity: Arc::new(move || identity.identity()),
                has_agent: Arc::new(move |id| agents.has_agent(id)),
            }),
        }
    }

    fn identity(&self) -> Option<HostIdentity> {
        let bundle = self.0.state.get()?.read().own_bundle().cloned()?;
        let shown = self.0.shown.lock();
        let (chain, key) = shown.as_ref()?;
        Some(HostIdentity { chain: chain.clone(), key: key.duplicate(), bundle: Bundle::clone(&bundle) })
    }

    /// What is no SPIFFE ID is no agent's.
    fn has_agent(&self, id: &str) -> Option<bool> {
        let state = self.0.state.get()?;
        Some(SpiffeId::parse(id).is_ok_and(|id| state.read().agent(&id).is_some()))
    }
}
