//! The connection to the servers: one at a time, to whichever replica answers.

mod calls;
mod denial;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::uri::Authority;
use steeple_config::HostPort;
use steeple_core::{Clock, TrustDomain};
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::danger::UnverifiedServerId;
use steeple_transport::tls::{IdentityStore, KeyExchange, ServerIdVerifier, SharedRoots, client_config};
use tonic::transport::Channel;

pub use denial::{Reaction, explained, reaction};

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("server address: {0}")]
    Address(#[from] http::Error),
    #[error("server address {0:?} is not host:port")]
    Authority(String),
}

/// Dials servers as an attested agent, and before that as nobody.
pub struct Upstream {
    servers: Vec<HostPort>,
    authority: Authority,
    trust_domain: TrustDomain,
    roots: SharedRoots,
    identity: Arc<IdentityStore>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Connected>,
}

struct Connected {
    channel: Channel,
    dialer: ServerDialer,
}

impl Upstream {
    pub fn new(
        servers: Vec<HostPort>,
        trust_domain: TrustDomain,
        roots: SharedRoots,
        identity: Arc<IdentityStore>,
        key_exchange: KeyExchange,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UpstreamError> {
        let first = servers.first().map(ToString::to_string).unwrap_or_default();
        let authority: Authority = first.parse().map_err(|_| UpstreamError::Authority(first.clone()))?;
        let connected = connect(&servers, &authority, &trust_domain, &roots, Some(&identity), key_exchange, &clock)?;
        let current = ArcSwap::from_pointee(connected);
        Ok(Self { servers, authority, trust_domain, roots, identity, key_exchange, clock, current })
    }

    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// As the attested agent.
    pub fn channel(&self) -> Channel {
        self.current.load().channel.clone()
    }

    /// The next call dials anew. Calls under way end on the old connection.
    pub fn reconnect(&self) {
        let connected = connect(
            &self.servers,
            &self.authority,
            &self.trust_domain,
            &self.roots,
            Some(&self.identity),
            self.key_exchange,
            &self.clock,
        );
        match connected {
            Ok(connected) => self.current.store(Arc::new(connected)),
            // The same parts made a configuration before.
            Err(error) => tracing::error!(error = %error, "could not prepare a new connection"),
        }
    }

    /// The server that answers cannot serve: prefer another one.
    pub fn avoid_current(&self) {
        self.current.load().dialer.avoid_current();
        self.reconnect();
    }

    /// Without a client certificate, for attestation. With `insecure` only the server's SPIFFE ID is looked at.
    pub fn anonymous(&self, insecure: bool) -> Result<Channel, UpstreamError> {
        if insecure {
            let verifier = UnverifiedServerId::new(self.trust_domain.server_id());
            let tls = client_config(verifier, None, self.key_exchange, Arc::clone(&self.clock))?;
            let dialer = ServerDialer::new(self.servers.iter().map(ToString::to_string), tls);
            return Ok(server_channel(dialer, self.authority.clone())?);
        }
        let connected = connect(
            &self.servers,
            &self.authority,
            &self.trust_domain,
            &self.roots,
            None,
            self.key_exchange,
            &self.clock,
        )?;
        Ok(connected.channel)
    }

    /// How many addresses a call may be tried on.
    fn attempts(&self) -> usize {
        self.servers.len().max(2)
    }
}

fn connect(
    servers: &[HostPort],
    authority: &Authority,
    trust_domain: &TrustDomain,
    roots: &SharedRoots,
    identity: Option<&Arc<IdentityStore>>,
    key_exchange: KeyExchange,
    clock: &Arc<dyn Clock>,
) -> Result<Connected, UpstreamError> {
    let verifier = ServerIdVerifier::new(Arc::clone(roots), trust_domain.server_id());
    let identity = identity.map(|identity| Arc::clone(identity) as Arc<dyn rustls::client::ResolvesClientCert>);
    let tls = client_config(verifier, identity, key_exchange, Arc::clone(clock))?;
    let dialer = ServerDialer::new(servers.iter().map(ToString::to_string), tls);
    let channel = server_channel(dialer.clone(), authority.clone())?;
    Ok(Connected { channel, dialer })
}
