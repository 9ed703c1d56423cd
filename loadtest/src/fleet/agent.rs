//! A simulated agent: a node's certificate, the SVID that it was attested with, and one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SanType};
use steeple_api::types;
use steeple_core::{Clock, Secret, SpiffeId, SystemClock, TrustDomain};
use steeple_plugins::x509pop::X509PopAgent;
use steeple_testkit::NodeCertificateAuthority;
use steeple_transport::tls::{Identity, IdentitySink as _, IdentityStore, SharedRoots, Usage};
use tonic::transport::Channel;

use super::attest::attest;
use super::dial::Dialer;
use super::tls;
use super::traffic::Traffic;

pub use super::tls::Group;

/// What all agents of a run have in common.
pub(crate) struct Domain {
    pub(crate) trust_domain: TrustDomain,
    pub(crate) roots: SharedRoots,
    pub(crate) addresses: Arc<[SocketAddr]>,
    pub(crate) group: Group,
    pub(crate) traffic: Arc<Traffic>,
}

/// A key with a CSR for it, both made before anything is measured.
pub(crate) struct KeyAndCsr {
    pub(crate) key: KeyPair,
    /// DER; servers look at its key and its signature only.
    pub(crate) csr: Vec<u8>,
}

/// What a node has before its first attestation.
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) key: KeyAndCsr,
    attestor: X509PopAgent,
    /// Connects without a certificate.
    anonymous: Dialer,
}

/// An attested agent.
pub(crate) struct Agent {
    pub(crate) number: usize,
    pub(crate) id: types::Spiffeid,
    node: Node,
    identity: Arc<IdentityStore>,
    dialer: Dialer,
    channel: Mutex<Channel>,
}

impl KeyAndCsr {
    pub(crate) fn new(trust_domain: &TrustDomain) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(trust_domain.id().as_str())?));
        let csr = params.serialize_request(&key)?.der().to_vec();
        Ok(Self { key, csr })
    }

    /// PKIX DER.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }
}

impl Node {
    pub(crate) fn new(
        number: usize,
        name: &str,
        authority: &NodeCertificateAuthority,
        domain: &Domain,
    ) -> anyhow::Result<Self> {
        let key = KeyAndCsr::new(&domain.trust_domain)?;
        let certificate = authority.certify(name, &key.key)?;
        let attestor = X509PopAgent::holding(vec![certificate], &Secret::new(key.key.serialize_der()))?;
        let tls = tls::client(domain.group, &domain.roots, &domain.trust_domain, None)?;
        let anonymous = Dialer::new(&domain.addresses, number, tls, &domain.traffic);
        Ok(Self { number, key, attestor, anonymous })
    }

    /// One attestation over a connection of its own, which is closed afterwards.
    pub(crate) async fn attest(&self) -> anyhow::Result<types::X509svid> {
        Ok(attest(self.anonymous.channel(), &self.attestor, self.key.csr.clone()).await?)
    }
}

impl Agent {
    pub(crate) async fn join(node: Node, domain: &Domain) -> anyhow::Result<Self> {
        let svid = node.attest().await.with_context(|| format!("attesting agent {}", node.number))?;
        let own = domain.trust_domain.clone();
        let permits = Arc::new(move |id: &SpiffeId| id.is_member_of(&own));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let identity = IdentityStore::new(Arc::clone(&domain.roots), permits, Usage::Client, clock);
        let tls = tls::client(domain.group, &domain.roots, &domain.trust_domain, Some(Arc::clone(&identity)))?;
        let dialer = Dialer::new(&domain.addresses, node.number, tls, &domain.traffic);
        let agent = Self {
            number: node.number,
            id: svid.id.clone().context("an agent's SVID without an ID")?,
            identity,
            channel: Mutex::new(dialer.channel()),
            dialer,
            node,
        };
        agent.publish(svid)?;
        Ok(agent)
    }

    /// A new SVID for the same key, and a connection with it: the one before is not accepted any more. Nodes that can
    /// attest again may not renew (SPIRE behaviour).
    pub(crate) async fn attest_again(&self) -> anyhow::Result<()> {
        self.publish(self.node.attest().await?)?;
        self.reconnect();
        Ok(())
    }

    /// The agent's one connection, which is dialled at the first call.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.lock().clone()
    }

    /// Leaves the connection; the next call dials a new one.
    pub(crate) fn reconnect(&self) {
        *self.channel.lock() = self.dialer.channel();
    }

    /// As [`Self::reconnect`], to another replica where there is one.
    pub(crate) fn turn_away(&self) {
        self.dialer.turn_away();
        self.reconnect();
    }

    fn publish(&self, svid: types::X509svid) -> anyhow::Result<()> {
        let identity = Identity { chain: svid.cert_chain, key: Secret::new(self.node.key.key.serialize_der()).into() };
        self.identity.publish(&identity)?;
        Ok(())
    }
}

/// An agent's calls are answered in milliseconds, or not any more.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(30);
