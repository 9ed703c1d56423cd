//! What handshakes show, by the name that the client asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

use crate::{CertificateError, certificate, challenge};

/// Only names that were named get a certificate: a client that asks for another one, or for none, gets no handshake
/// (SPIRE behaviour).
pub struct WebCertificates {
    by_domain: ArcSwap<BTreeMap<String, Arc<CertifiedKey>>>,
    challenges: Box<Challenges>,
}

/// The digest to show for a name while its proof is going on. Called in handshakes: a look at the memory.
type Challenges = dyn Fn(&str) -> Option<[u8; 32]> + Send + Sync;

impl WebCertificates {
    pub fn new(challenges: impl Fn(&str) -> Option<[u8; 32]> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { by_domain: ArcSwap::default(), challenges: Box::new(challenges) })
    }

    /// Shows the certificate to every later client that asks for `domain`, and says whether it is another one than
    /// before. One that cannot be shown changes nothing.
    pub fn show(&self, domain: &str, chain: &[Vec<u8>], key: PrivateKeyDer<'_>) -> Result<bool, CertificateError> {
        let certified = Arc::new(certificate::certified_key(domain, chain, key)?);
        let is_another = self.by_domain.load().get(domain).is_none_or(|now| now.cert != certified.cert);
        self.by_domain.rcu(|shown| {
            let mut shown = BTreeMap::clone(shown);
            shown.insert(domain.to_owned(), Arc::clone(&certified));
            shown
        });
        Ok(is_another)
    }
}

impl ResolvesServerCert for WebCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let domain = hello.server_name()?.to_ascii_lowercase();
        if challenge::is_asked_for(&hello) {
            let digest = (self.challenges)(&domain)?;
            tracing::info!(domain, "an ACME server asks for the proof of a name");
            return challenge::certificate(&domain, &digest).map(Arc::new);
        }
        self.by_domain.load().get(&domain).cloned()
    }
}

impl fmt::Debug for WebCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebCertificates({:?})", self.by_domain.load().keys())
    }
}
