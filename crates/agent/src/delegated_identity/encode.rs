//! From the cache's values to the messages of the Delegated Identity API.

use std::sync::Arc;

use steeple_api::agent::delegatedidentity::{SubscribeToX509sviDsResponse, X509svidWithKey};
use steeple_api::convert::id_to_wire;
use steeple_api::types;
use steeple_core::Entry;

use crate::cache::{CachedJwt, WorkloadView};

/// Nothing is an answer too: the workload has no identity now (SPIRE behaviour). Duplicate hints stay.
pub fn x509_svids(view: &WorkloadView) -> SubscribeToX509sviDsResponse {
    let identities = view.identities.iter().filter(|identity| is_delegable(&identity.entry));
    let x509_svids = identities.map(|identity| X509svidWithKey {
        x509_svid: Some(types::X509svid {
            id: Some(id_to_wire(&identity.svid.spiffe_id)),
            cert_chain: identity.svid.chain.clone(),
            expires_at: identity.svid.not_after.as_secs(),
            hint: identity.entry.hint.clone(),
        }),
        x509_svid_key: identity.svid.key.expose().to_vec(),
    });
    SubscribeToX509sviDsResponse {
        x509_svids: x509_svids.collect(),
        // Of all entries, those that are not sent included (SPIRE behaviour).
        federates_with: view.federated.keys().map(|domain| domain.id().to_string()).collect(),
    }
}

pub fn jwt_svid(entry: &Entry, token: &Arc<CachedJwt>) -> types::Jwtsvid {
    types::Jwtsvid {
        token: token.token.clone(),
        id: Some(id_to_wire(&entry.spiffe_id)),
        expires_at: token.expires_at.as_secs(),
        issued_at: token.issued_at.as_secs(),
        hint: entry.hint.clone(),
    }
}

/// Identities with rights on the server stay with their workloads.
pub fn is_delegable(entry: &Entry) -> bool {
    !entry.admin && !entry.downstream
}
