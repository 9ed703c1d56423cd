//! Federation relationships (`spire.api.types.FederationRelationship`).

use crate::{SpiffeId, TrustDomain};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederationRelationship {
    pub trust_domain: TrustDomain,
    pub bundle_endpoint_url: String,
    pub profile: BundleEndpointProfile,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleEndpointProfile {
    HttpsSpiffe { endpoint_spiffe_id: SpiffeId },
    HttpsWeb,
}
