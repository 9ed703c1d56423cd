//! The X.509 roots of every trust domain that this process trusts: one immutable value, replaced as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use steeple_core::TrustDomain;

/// Roots that readers load per handshake and a single owner replaces when a bundle changes.
pub type SharedRoots = Arc<ArcSwap<TrustRoots>>;

/// Trust domain to X.509 roots. A domain may be known and have no root: then nothing of it verifies.
#[derive(Clone, Debug, Default)]
pub struct TrustRoots {
    by_domain: BTreeMap<TrustDomain, Arc<[TrustAnchor<'static>]>>,
}

/// A bundle holds something that is no usable root certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("root certificate {index} of trust domain {trust_domain} is not usable: {reason}")]
pub struct RootsError {
    pub trust_domain: TrustDomain,
    /// Counted from 0, in the order given.
    pub index: usize,
    pub reason: webpki::Error,
}

impl TrustRoots {
    pub fn empty() -> Self {
        Self::default()
    }

    /// These roots and those of one more trust domain, each one DER certificate. What was known of it is replaced.
    pub fn with<D: AsRef<[u8]>>(mut self, trust_domain: TrustDomain, roots: &[D]) -> Result<Self, RootsError> {
        let anchors = roots.iter().enumerate().map(|(index, der)| {
            anchor(der.as_ref()).map_err(|reason| RootsError { trust_domain: trust_domain.clone(), index, reason })
        });
        let anchors = anchors.collect::<Result<Arc<[_]>, _>>()?;
        self.by_domain.insert(trust_domain, anchors);
        Ok(self)
    }

    /// `None` when the trust domain is unknown.
    pub fn anchors(&self, trust_domain: &TrustDomain) -> Option<&[TrustAnchor<'static>]> {
        self.by_domain.get(trust_domain).map(|anchors| &**anchors)
    }

    pub fn trust_domains(&self) -> impl Iterator<Item = &TrustDomain> {
        self.by_domain.keys()
    }

    pub fn into_shared(self) -> SharedRoots {
        Arc::new(ArcSwap::from_pointee(self))
    }
}

fn anchor(der: &[u8]) -> Result<TrustAnchor<'static>, webpki::Error> {
    let der = CertificateDer::from(der);
    Ok(webpki::anchor_from_trusted_cert(&der)?.to_owned())
}
