//! From the cache's values to the messages of the Broker API.

use steeple_api::broker::{Jwtsvid, SubscribeToX509svidResponse, X509svid};
use steeple_core::Entry;

use crate::cache::WorkloadView;
use crate::delegated_identity::encode::is_delegable;
use crate::workload_api::encode as workload;

/// As the workload itself would get them, without those that have rights on the server. None is an answer too (SPIRE
/// behaviour).
pub fn x509_svids(view: &WorkloadView) -> SubscribeToX509svidResponse {
    let own = view.bundle.as_deref().map(workload::concatenated).unwrap_or_default();
    let identities = workload::shown(view).into_iter().filter(|identity| is_delegable(&identity.entry));
    let svids = identities.map(|identity| X509svid {
        spiffe_id: identity.svid.spiffe_id.to_string(),
        x509_svid: identity.svid.chain.concat(),
        x509_svid_key: identity.svid.key.expose().to_vec(),
        bundle: own.clone(),
        hint: identity.entry.hint.clone(),
    });
    let federated = view.federated.iter();
    let federated = federated.map(|(domain, bundle)| (domain.id().to_string(), workload::concatenated(bundle)));
    SubscribeToX509svidResponse { svids: svids.collect(), crl: Vec::new(), federated_bundles: federated.collect() }
}

pub fn jwt_svid(entry: &Entry, token: &str) -> Jwtsvid {
    Jwtsvid { spiffe_id: entry.spiffe_id.to_string(), svid: token.to_owned(), hint: entry.hint.clone() }
}
