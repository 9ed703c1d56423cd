//! A Workload API answer, taken apart and checked as a workload would check it.

use std::collections::BTreeMap;

use steeple_api::workload::X509svidResponse;
use steeple_ca::certificate::{facts, split};
use steeple_core::{Secret, SpiffeId, Timestamp};
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};

#[derive(Debug)]
pub struct Svid {
    pub id: SpiffeId,
    pub hint: String,
    /// The SVID first.
    pub chain: Vec<Certificate>,
    /// PKCS#8 DER.
    pub key: Secret,
    pub bundle: Vec<Certificate>,
}

/// With the facts that are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub der: Vec<u8>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

#[derive(Debug)]
pub struct Svids {
    pub svids: Vec<Svid>,
    /// By SPIFFE ID of the trust domain.
    pub federated: BTreeMap<String, Vec<Certificate>>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SvidsError {
    #[error("failed to parse bundle for federated domain {0:?}: not a series of certificates")]
    FederatedBundle(String),
    #[error("no certificates in bundle for federated domain {0:?}")]
    EmptyFederatedBundle(String),
    #[error("failed to parse svid entry {at} for spiffe id {id:?}: {reason}")]
    Svid { at: usize, id: String, reason: String },
    #[error("workload response contains no svids")]
    NoSvids,
    #[error("{id:?} SVID failed verification against bundle: {reason}")]
    Unverified { id: SpiffeId, reason: String },
}

/// Everything parses and each SVID verifies against the bundle that came with it.
pub fn parse_verified(response: X509svidResponse, now: Timestamp) -> Result<Svids, SvidsError> {
    let svids = parse(response)?;
    svids.svids.iter().try_for_each(|svid| svid.verify(now)).map(|()| svids)
}

/// Everything parses. [`Svid::verify`] is for whoever takes one of them.
pub fn parse(response: X509svidResponse) -> Result<Svids, SvidsError> {
    if response.svids.is_empty() {
        return Err(SvidsError::NoSvids);
    }
    let mut federated = BTreeMap::new();
    for (trust_domain, ders) in response.federated_bundles {
        if ders.is_empty() {
            return Err(SvidsError::EmptyFederatedBundle(trust_domain));
        }
        let bundle = certificates(&ders).ok_or_else(|| SvidsError::FederatedBundle(trust_domain.clone()))?;
        federated.insert(trust_domain, bundle);
    }
    let mut svids = Vec::with_capacity(response.svids.len());
    for (at, svid) in response.svids.into_iter().enumerate() {
        let bad = |reason: &str| SvidsError::Svid { at, id: svid.spiffe_id.clone(), reason: reason.to_owned() };
        svids.push(Svid {
            id: SpiffeId::parse(&svid.spiffe_id).map_err(|error| bad(&error.to_string()))?,
            chain: certificates(&svid.x509_svid).ok_or_else(|| bad("no certificates found"))?,
            bundle: certificates(&svid.bundle).ok_or_else(|| bad("no certificates in trust bundle"))?,
            hint: svid.hint,
            key: Secret::new(svid.x509_svid_key),
        });
    }
    Ok(Svids { svids, federated })
}

impl Svid {
    /// Its chain leads to the bundle that came with it, and it is a certificate of the ID that was told.
    pub fn verify(&self, now: Timestamp) -> Result<(), SvidsError> {
        let unverified = |reason: String| SvidsError::Unverified { id: self.id.clone(), reason };
        let roots: Vec<&[u8]> = self.bundle.iter().map(|certificate| certificate.der.as_slice()).collect();
        let roots =
            TrustRoots::empty().with(self.id.trust_domain(), &roots).map_err(|error| unverified(error.to_string()))?;
        let chain: Vec<_> = self.chain.iter().map(|certificate| certificate.der.as_slice().into()).collect();
        let id = verify_chain(&chain, &roots, now, Usage::Client).map_err(|error| unverified(error.to_string()))?;
        if id == self.id { Ok(()) } else { Err(unverified(format!("it is a certificate of {id}"))) }
    }
}

/// One certificate or more, one after the other. `None` when there is none or something else among them.
fn certificates(ders: &[u8]) -> Option<Vec<Certificate>> {
    let with_facts = |der: Vec<u8>| {
        let facts = facts(&der)?;
        Some(Certificate { der, not_before: facts.not_before, not_after: facts.not_after })
    };
    let certificates = split(ders)?.into_iter().map(with_facts).collect::<Option<Vec<_>>>()?;
    Some(certificates).filter(|certificates| !certificates.is_empty())
}

#[cfg(test)]
mod tests {
    use steeple_api::workload::X509svid;

    use super::*;

    #[test]
    fn an_empty_answer_is_told() {
        let error = parse(X509svidResponse::default()).unwrap_err();
        assert_eq!(error, SvidsError::NoSvids);
        let federated_bundles = [("spiffe://other.test".to_owned(), Vec::new())].into();
        let svids = vec![X509svid::default()];
        let error = parse(X509svidResponse { svids, federated_bundles, ..X509svidResponse::default() }).unwrap_err();
        assert_eq!(error.to_string(), "no certificates in bundle for federated domain \"spiffe://other.test\"");
        assert_eq!(certificates(&[0x30, 0x10, 1]), None);
        assert_eq!(certificates(&[]), None);
    }
}
