//! From the cache's values to the Workload API's messages.

use std::collections::BTreeMap;

use steeple_api::workload::{JwtBundlesResponse, X509BundlesResponse, X509svid, X509svidResponse};
use steeple_ca::jwks::{self, JwksError};
use steeple_core::Bundle;

use crate::cache::{WorkloadIdentity, WorkloadView, without_duplicate_hints};

/// Every identity with its chain, key and bundle; `federated_bundles` is the union over all of them.
pub fn x509_svids(view: &WorkloadView) -> X509svidResponse {
    let bundle = view.bundle.as_deref().map(concatenated).unwrap_or_default();
    let svids = shown(view)
        .into_iter()
        .map(|identity| X509svid {
            spiffe_id: identity.svid.spiffe_id.to_string(),
            x509_svid: identity.svid.chain.concat(),
            x509_svid_key: identity.svid.key.expose().to_vec(),
            bundle: bundle.clone(),
            hint: identity.entry.hint.clone(),
        })
        .collect();
    let federated_bundles =
        view.federated.iter().map(|(domain, bundle)| (domain.id().to_string(), concatenated(bundle))).collect();
    X509svidResponse { svids, crl: Vec::new(), federated_bundles }
}

/// The identities that a workload is shown: one for each hint.
pub fn shown(view: &WorkloadView) -> Vec<&WorkloadIdentity> {
    let entries = view.identities.iter().map(|identity| identity.entry.clone()).collect();
    let kept = without_duplicate_hints(entries);
    let is_kept = |identity: &&WorkloadIdentity| kept.iter().any(|entry| entry.id == identity.entry.id);
    view.identities.iter().filter(is_kept).collect()
}

/// Keys are trust domain IDs with their scheme.
pub fn x509_bundles<'a>(bundles: impl IntoIterator<Item = &'a Bundle>) -> X509BundlesResponse {
    let bundles: BTreeMap<String, Vec<u8>> =
        bundles.into_iter().map(|bundle| (bundle.trust_domain.id().to_string(), concatenated(bundle))).collect();
    X509BundlesResponse { crl: Vec::new(), bundles }
}

pub fn jwt_bundles<'a>(bundles: impl IntoIterator<Item = &'a Bundle>) -> Result<JwtBundlesResponse, JwksError> {
    let bundles = bundles
        .into_iter()
        .map(|bundle| Ok((bundle.trust_domain.id().to_string(), jwks::print_jwt_bundle(bundle)?.into_bytes())))
        .collect::<Result<_, JwksError>>()?;
    Ok(JwtBundlesResponse { bundles })
}

pub fn concatenated(bundle: &Bundle) -> Vec<u8> {
    bundle.x509_authorities.iter().flat_map(|root| root.der.iter().copied()).collect()
}
