//! `spire.api.server.trustdomain.v1.TrustDomain`.

use steeple_api::server::trustdomain::*;
use steeple_api::types;
use steeple_api::types::federation_relationship::BundleEndpointProfile;
use steeple_telemetry::log::Fields;

use super::bundle::put_bundle;
use super::{Facts, decoded, items, put, put_some};

pub(super) fn facts(method: &str, asked: &[u8], answered: &[u8]) -> Facts {
    let mut fields = Fields::new();
    match method {
        "TrustDomain/GetFederationRelationship" => {
            let request = decoded::<GetFederationRelationshipRequest>(asked);
            put_some(&mut fields, "trust_domain_id", &request.trust_domain);
        }
        "TrustDomain/RefreshBundle" => {
            put_some(&mut fields, "trust_domain_id", &decoded::<RefreshBundleRequest>(asked).trust_domain);
        }
        "TrustDomain/BatchCreateFederationRelationship" => {
            let asked = decoded::<BatchCreateFederationRelationshipRequest>(asked).federation_relationships;
            let answered = decoded::<BatchCreateFederationRelationshipResponse>(answered).results;
            return items(asked, answered, |asked, result| (of_relationship(&asked), result.status.clone()));
        }
        "TrustDomain/BatchUpdateFederationRelationship" => {
            let asked = decoded::<BatchUpdateFederationRelationshipRequest>(asked).federation_relationships;
            let answered = decoded::<BatchUpdateFederationRelationshipResponse>(answered).results;
            return items(asked, answered, |asked, result| (of_relationship(&asked), result.status.clone()));
        }
        "TrustDomain/BatchDeleteFederationRelationship" => {
            let asked = decoded::<BatchDeleteFederationRelationshipRequest>(asked).trust_domains;
            let answered = decoded::<BatchDeleteFederationRelationshipResponse>(answered).results;
            return items(asked, answered, |trust_domain, result| {
                (Fields::from([("trust_domain_id".to_owned(), trust_domain.into())]), result.status.clone())
            });
        }
        _ => {}
    }
    Facts::Call(fields)
}

fn of_relationship(relationship: &types::FederationRelationship) -> Fields {
    let mut fields = Fields::new();
    let known = &mut fields;
    put_some(known, "trust_domain_id", &relationship.trust_domain);
    put_some(known, "bundle_endpoint_url", &relationship.bundle_endpoint_url);
    match &relationship.bundle_endpoint_profile {
        Some(BundleEndpointProfile::HttpsWeb(_)) => put(known, "bundle_endpoint_profile", "https_web"),
        Some(BundleEndpointProfile::HttpsSpiffe(profile)) => {
            put(known, "bundle_endpoint_profile", "https_spiffe");
            put_some(known, "endpoint_spiffe_id", &profile.endpoint_spiffe_id);
        }
        None => {}
    }
    if let Some(bundle) = &relationship.trust_domain_bundle {
        put_bundle(known, "bundle_", bundle);
    }
    fields
}
