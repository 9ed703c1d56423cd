//! An agent's keys, what it trusts, and how it shows itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use steeple_api::types::{Bundle, X509svid};
use steeple_ca::certificate::{CertificateFacts, facts};
use steeple_core::{Clock, Secret, SpiffeId, Timestamp, TrustDomain};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, SharedRoots, TrustRoots, Usage,
    client_config, verify_chain,
};

use crate::clock::{BEGINNING, NodeClock};
use crate::ledger::{Held, Svid};
use crate::node::TRUST_DOMAIN;
use crate::world::World;

/// A key with a CSR for it.
pub struct Key {
    pub csr: Vec<u8>,
    pair: KeyPair,
}

/// What a bundle said last.
pub struct Trust {
    pub roots: SharedRoots,
    pub trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
}

impl Key {
    pub fn new() -> anyhow::Result<Self> {
        let pair = KeyPair::generate()?;
        let csr = CertificateParams::default().serialize_request(&pair)?.der().to_vec();
        Ok(Self { csr, pair })
    }
}

impl Trust {
    pub fn new(world: &World) -> anyhow::Result<Self> {
        let trust_domain = TrustDomain::from_name(TRUST_DOMAIN)?;
        let clock = Arc::new(NodeClock::new(&world.time));
        Ok(Self { roots: TrustRoots::empty().into_shared(), trust_domain, clock })
    }

    /// Takes a bundle, and says what an agent that has it holds.
    pub fn take(&self, world: &World, bundle: &Bundle, heard_at: Option<Duration>) -> anyhow::Result<Held> {
        let roots: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.asn1.as_slice()).collect();
        self.roots.store(Arc::new(TrustRoots::empty().with(self.trust_domain.clone(), &roots)?));
        let roots: Vec<CertificateFacts> = roots.iter().filter_map(|root| facts(root)).collect();
        for root in &roots {
            let life = root.not_after.since(root.not_before);
            let unwaited_from = root.not_after.saturating_sub(life / UNWAITED_PART).since(BEGINNING);
            let id = root.subject_key_id.as_ref().map(hex::encode).unwrap_or_default();
            world.ledger().agents.ends(&id, unwaited_from);
        }
        let authorities = roots.into_iter().filter_map(|root| root.subject_key_id).map(hex::encode).collect();
        Ok(Held { sequence: bundle.sequence_number, authorities, heard_at })
    }

    /// TLS without a certificate, or with that of an agent.
    pub fn tls(&self, shown: Option<Arc<IdentityStore>>) -> anyhow::Result<Arc<ClientConfig>> {
        let verifier = ServerIdVerifier::new(Arc::clone(&self.roots), self.trust_domain.server_id());
        let shown = shown.map(|shown| shown as _);
        Ok(client_config(verifier, shown, KeyExchange::Compatible, Arc::clone(&self.clock))?)
    }

    pub fn store(&self) -> Arc<IdentityStore> {
        let own = self.trust_domain.clone();
        let permits = Arc::new(move |id: &SpiffeId| id.is_member_of(&own));
        IdentityStore::new(Arc::clone(&self.roots), permits, Usage::Client, Arc::clone(&self.clock))
    }

    pub fn show(&self, store: &IdentityStore, svid: &X509svid, key: &Key) -> anyhow::Result<()> {
        let key = Secret::new(key.pair.serialize_der());
        store.publish(&Identity { chain: svid.cert_chain.clone(), key: key.into() })?;
        Ok(())
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What was issued, as the holder of this bundle sees it: an `Err` is an SVID that it cannot verify. One that
    /// expired on its way, having been good when it was asked for at `asked_at`, was not issued wrongly.
    pub fn verify(&self, svid: &X509svid, asked_at: Timestamp) -> Result<Svid, String> {
        let leaf = svid.cert_chain.first().and_then(|leaf| facts(leaf)).context("no certificate");
        let leaf = leaf.map_err(|error| error.to_string())?;
        let chain: Vec<CertificateDer<'_>> =
            svid.cert_chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let now = if asked_at < leaf.not_after { self.now().min(leaf.not_after) } else { self.now() };
        let id = verify_chain(&chain, &self.roots.load(), now, Usage::Client)
            .map_err(|error| format!("an SVID that its agent cannot verify: {error}"))?;
        let authority = authority_of(svid).unwrap_or_default();
        Ok(Svid { spiffe_id: id.to_string(), serial: leaf.serial.into_bytes(), authority })
    }
}

/// At the end of its life an authority is followed whoever lacks the next one (`steeple_ca::lifecycle`).
const UNWAITED_PART: u32 = 12;

/// Who signed it: its authority key id in hex.
pub fn authority_of(svid: &X509svid) -> Option<String> {
    facts(svid.cert_chain.first()?)?.authority_key_id.map(hex::encode)
}
