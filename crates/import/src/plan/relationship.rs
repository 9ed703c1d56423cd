//! Federation relationships. Their bundles come on their own.

use steeple_core::{BundleEndpointProfile, FederationRelationship, SpiffeId, TrustDomain};

use super::{Noun, Plan};
use crate::Database;
use crate::rows::RelationshipRow;

pub(super) fn read(database: &Database, plan: &mut Plan) {
    for row in &database.relationships {
        match relationship(row) {
            Ok(relationship) => plan.relationships.push(relationship),
            Err(reason) => plan.leave(Noun::Relationship, &row.trust_domain, reason),
        }
        if row.implicit {
            // Stored by SPIRE, and without effect there.
            plan.notes
                .push(format!("federation with {}: \"implicit\" has no meaning and is dropped", row.trust_domain));
        }
    }
}

fn relationship(row: &RelationshipRow) -> Result<FederationRelationship, String> {
    let profile = match row.profile.as_str() {
        "https_web" => BundleEndpointProfile::HttpsWeb,
        "https_spiffe" => {
            let id = SpiffeId::parse(&row.endpoint_spiffe_id);
            let id = id.map_err(|error| format!("its endpoint SPIFFE ID {:?}: {error}", row.endpoint_spiffe_id))?;
            BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id: id }
        }
        other => return Err(format!("its bundle endpoint profile {other:?} is unknown")),
    };
    Ok(FederationRelationship {
        trust_domain: TrustDomain::parse(&row.trust_domain).map_err(|error| error.to_string())?,
        bundle_endpoint_url: row.bundle_endpoint_url.clone(),
        profile,
    })
}
