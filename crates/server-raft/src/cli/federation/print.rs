//! A relationship as people read it.

use std::io::{self, Write};

use steeple_api::types::FederationRelationship;
use steeple_api::types::federation_relationship::BundleEndpointProfile;

pub(super) fn print_relationship(out: &mut dyn Write, relationship: &FederationRelationship) -> io::Result<()> {
    let mut line = |label: &str, value: &str| writeln!(out, "{label:<26}: {value}");
    line("Trust domain", &relationship.trust_domain)?;
    line("Bundle endpoint URL", &relationship.bundle_endpoint_url)?;
    match &relationship.bundle_endpoint_profile {
        Some(BundleEndpointProfile::HttpsSpiffe(profile)) => {
            line("Bundle endpoint profile", "https_spiffe")?;
            line("Endpoint SPIFFE ID", &profile.endpoint_spiffe_id)
        }
        Some(BundleEndpointProfile::HttpsWeb(_)) => line("Bundle endpoint profile", "https_web"),
        None => Ok(()),
    }
}
