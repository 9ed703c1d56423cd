//! The connection to the servers: one at a time, to whichever replica answers.

mod calls;
mod denial;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::uri::Authority;
use steeple_config::HostPort;
use steeple_core::{Clock, TrustDomain};
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::danger::UnverifiedServerId;
use steeple_transport::tls::{IdentityStore, KeyExchange, ServerIdVerifier, SharedRoots, client_config};
use tokio::sync::watch;
use tonic::transport::Channel;

pub use calls::{CallTimes, is_away};
pub use denial::{Reaction, explained, pause_as_told, reaction};

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
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
    /// Outlives connections, so that it remembers which addresses failed.
    dialer: ServerDialer,
    current: ArcSwap<Channel>,
    /// Counts the channels before this one.
    replaced: watch::Sender<u64>,
    /// Whether the agent is having its SVID replaced.
    renewing: watch::Sender<bool>,
}

/// While this is there, a server may refuse the SVID that it has given out another one for.
pub struct Renewal<'a>(&'a watch::Sender<bool>);

impl Drop for Renewal<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
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
        let verifier = ServerIdVerifier::new(Arc::clone(&roots), trust_domain.server_id());
        let tls = client_config(verifier, Some(identity as _), key_exchange, Arc::clone(&clock))?;
        let dialer = ServerDialer::new(servers.iter().map(ToString::to_string), tls);
        let current = ArcSwap::from_pointee(server_channel(dialer.clone(), authority.clone())?);
        Ok(Self {
            servers,
            authority,
            trust_domain,
            roots,
            key_exchange,
            clock,
            dialer,
            current,
            replaced: watch::Sender::new(0),
            renewing: watch::Sender::new(false),
        })
    }

    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The next call dials anew. Calls under way end on the old connection.
    pub fn reconnect(&self) {
        match server_channel(self.dialer.clone(), self.authority.clone()) {
            Ok(channel) => {
                self.current.store(Arc::new(channel));
                self.replaced.send_modify(|count| *count += 1);
            }
            // The same parts made a channel before.
            Err(error) => tracing::error!(error = %error, "could not prepare a new connection"),
        }
    }

    /// The server at the other end of `used` cannot serve: prefer another one. Of several calls that find out, the
    /// first one moves on; the others would leave the server that it moved to.
    pub fn avoid(&self, used: &Arc<Channel>) {
        if self.is_current(used) {
            self.dialer.avoid_current();
            self.reconnect();
        }
    }

    /// The channel that calls are made on now.
    pub fn current(&self) -> Arc<Channel> {
        self.current.load_full()
    }

    pub fn is_current(&self, used: &Arc<Channel>) -> bool {
        Arc::ptr_eq(&self.current.load(), used)
    }

    /// Tells when another channel takes the place of [`Self::current`].
    pub fn replaced(&self) -> watch::Receiver<u64> {
        self.replaced.subscribe()
    }

    /// To be kept until the agent has another SVID, or it is plain that it gets none.
    pub fn renewal(&self) -> Renewal<'_> {
        self.renewing.send_replace(true);
        Renewal(&self.renewing)
    }

    /// Waits while the SVID is being replaced.
    pub async fn renewed(&self) {
        // The sender lives as long as this.
        let _ = self.renewing.subscribe().wait_for(|renewing| !renewing).await;
    }

    /// The server that was dialled last.
    pub fn server(&self) -> Option<SocketAddr> {
        self.dialer.current()
    }

    /// Without a client certificate, for attestation. With `insecure` only the server's SPIFFE ID is looked at.
    pub fn anonymous(&self, insecure: bool) -> Result<Channel, UpstreamError> {
        let (server, clock) = (self.trust_domain.server_id(), Arc::clone(&self.clock));
        let tls = match insecure {
            true => client_config(UnverifiedServerId::new(server), None, self.key_exchange, clock)?,
            false => {
                let verifier = ServerIdVerifier::new(Arc::clone(&self.roots), server);
                client_config(verifier, None, self.key_exchange, clock)?
            }
        };
        Ok(server_channel(self.dialer.with_tls(tls), self.authority.clone())?)
    }

    /// How many addresses a call may be tried on.
    fn attempts(&self) -> usize {
        self.servers.len().max(2)
    }
}
