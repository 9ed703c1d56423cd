//! What this server shows in TLS handshakes, and whom it believes.

use std::collections::BTreeSet;
use std::sync::Arc;

use steeple_config::ServerSettings;
use steeple_core::{Clock, SpiffeId};
use steeple_telemetry::metric::OwnTls;
use steeple_transport::proxy::TrustedProxies;
use steeple_transport::tls::{
    AcceptLimits, ClientIdVerifier, IdentityStore, KeyExchange, SharedRoots, TlsAcceptor, TrustRoots, Usage,
    server_config,
};

/// Empty at first: the drivers fill in the roots and the SVID.
pub struct ServerIdentity {
    pub roots: SharedRoots,
    pub store: Arc<IdentityStore>,
    pub key_exchange: KeyExchange,
}

impl ServerIdentity {
    pub fn new(settings: &ServerSettings, clock: &Arc<dyn Clock>) -> Self {
        let roots = TrustRoots::empty().into_shared();
        let own = settings.trust_domain.server_id();
        let permits = Arc::new(move |id: &SpiffeId| *id == own);
        let store = IdentityStore::new(Arc::clone(&roots), permits, Usage::Server, Arc::clone(clock));
        let key_exchange = if settings.require_pq_kem { KeyExchange::PostQuantumOnly } else { KeyExchange::Compatible };
        Self { roots, store, key_exchange }
    }

    /// For the listener of the metrics.
    pub fn own_tls(&self, clock: &Arc<dyn Clock>) -> OwnTls {
        OwnTls {
            svid: Arc::clone(&self.store),
            roots: Arc::clone(&self.roots),
            key_exchange: self.key_exchange,
            clock: Arc::clone(clock),
        }
    }

    /// For clients of the own trust domain, administrators from elsewhere, and those without a certificate.
    pub fn acceptor(&self, settings: &ServerSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<TlsAcceptor>> {
        let own = settings.trust_domain.clone();
        let limited = settings.policy.iter().flat_map(|policy| &policy.roles).flat_map(|role| &role.spiffe_ids);
        let admins: BTreeSet<SpiffeId> = settings.admin_ids.iter().chain(limited).cloned().collect();
        let permits = Arc::new(move |id: &SpiffeId| id.is_member_of(&own) || admins.contains(id));
        let verifier = ClientIdVerifier::new(Arc::clone(&self.roots), permits);
        let shown = Arc::<IdentityStore>::clone(&self.store);
        let config = server_config(shown, verifier, self.key_exchange, Arc::clone(clock))?;
        Ok(TlsAcceptor::behind(trusted_proxies(settings), config, AcceptLimits::DEFAULT))
    }
}

/// The protocol stays off unless networks are named: then only those may send headers.
fn trusted_proxies(settings: &ServerSettings) -> TrustedProxies {
    let networks = settings.proxy_protocol_trusted_cidrs.clone();
    if networks.is_empty() {
        return TrustedProxies::default();
    }
    let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
    tracing::info!(trusted_cidrs = names.join(" "), "PROXY protocol enabled on TCP listener");
    TrustedProxies::where_true(move |address| networks.iter().any(|network| network.contains(address)))
}
