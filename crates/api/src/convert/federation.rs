//! Federation relationships.

use steeple_core::{Bundle, BundleEndpointProfile, FederationRelationship, SpiffeId, TrustDomain};

use super::endpoint_url::endpoint_url;
use super::{ConvertError, bundle_from_wire, bundle_to_wire, trust_domain_from_wire};
use crate::types;
use crate::types::federation_relationship::BundleEndpointProfile as WireProfile;

/// Checks the whole message, also when an update's mask names little of it (SPIRE behaviour).
pub fn relationship_from_wire(
    wire: &types::FederationRelationship,
) -> Result<(FederationRelationship, Option<Bundle>), ConvertError> {
    let trust_domain =
        trust_domain_from_wire(&wire.trust_domain).map_err(|error| error.within("failed to parse trust domain"))?;
    let bundle_endpoint_url = endpoint_url(&wire.bundle_endpoint_url)?;
    let profile = match &wire.bundle_endpoint_profile {
        Some(WireProfile::HttpsWeb(_)) => BundleEndpointProfile::HttpsWeb,
        Some(WireProfile::HttpsSpiffe(spiffe)) => BundleEndpointProfile::HttpsSpiffe {
            endpoint_spiffe_id: SpiffeId::parse(&spiffe.endpoint_spiffe_id)
                .map_err(|error| ConvertError::from(error).within("failed to parse endpoint SPIFFE ID"))?,
        },
        None => return Err(ConvertError::new("unsupported bundle endpoint profile type: <nil>")),
    };
    let bundle = match &wire.trust_domain_bundle {
        Some(bundle) => Some(bundle_of(&trust_domain, bundle)?),
        None => None,
    };
    Ok((FederationRelationship { trust_domain, bundle_endpoint_url, profile }, bundle))
}

/// Without taints: they are the issuing domain's business, and what a client says of them is ignored (SPIRE behaviour).
fn bundle_of(trust_domain: &TrustDomain, wire: &types::Bundle) -> Result<Bundle, ConvertError> {
    let bundle = bundle_from_wire(wire, None).map_err(|error| error.within("failed to parse bundle"))?;
    if bundle.trust_domain != *trust_domain {
        return Err(ConvertError::new(format!(
            "trust domain bundle ({:?}) must match the trust domain of the federation relationship \
             (\"{trust_domain}\")",
            wire.trust_domain
        )));
    }
    Ok(bundle.untainted())
}

/// `bundle` is the one stored for the trust domain, if any.
pub fn relationship_to_wire(
    relationship: &FederationRelationship,
    bundle: Option<&Bundle>,
    mask: Option<&types::FederationRelationshipMask>,
) -> types::FederationRelationship {
    let wanted = |field: fn(&types::FederationRelationshipMask) -> bool| mask.is_none_or(field);
    let trust_domain = relationship.trust_domain.name().to_owned();
    let mut wire = types::FederationRelationship { trust_domain, ..types::FederationRelationship::default() };
    if wanted(|mask| mask.bundle_endpoint_url) {
        wire.bundle_endpoint_url.clone_from(&relationship.bundle_endpoint_url);
    }
    if wanted(|mask| mask.bundle_endpoint_profile) {
        wire.bundle_endpoint_profile = Some(profile_to_wire(&relationship.profile));
    }
    if wanted(|mask| mask.trust_domain_bundle) {
        wire.trust_domain_bundle = bundle.map(|bundle| bundle_to_wire(bundle, None));
    }
    wire
}

fn profile_to_wire(profile: &BundleEndpointProfile) -> WireProfile {
    match profile {
        BundleEndpointProfile::HttpsWeb => WireProfile::HttpsWeb(types::HttpsWebProfile {}),
        BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id } => {
            let endpoint_spiffe_id = endpoint_spiffe_id.as_str().to_owned();
            WireProfile::HttpsSpiffe(types::HttpsspiffeProfile { endpoint_spiffe_id })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::authority::tests::key;

    fn web(url: &str) -> types::FederationRelationship {
        types::FederationRelationship {
            trust_domain: "a.test".into(),
            bundle_endpoint_url: url.into(),
            bundle_endpoint_profile: Some(WireProfile::HttpsWeb(types::HttpsWebProfile {})),
            trust_domain_bundle: None,
        }
    }

    fn spiffe(endpoint_spiffe_id: &str) -> types::FederationRelationship {
        let profile = types::HttpsspiffeProfile { endpoint_spiffe_id: endpoint_spiffe_id.into() };
        types::FederationRelationship {
            bundle_endpoint_profile: Some(WireProfile::HttpsSpiffe(profile)),
            ..web("https://a.test:8443/bundle?x=1")
        }
    }

    #[test]
    fn both_profiles_come_back_as_they_went() {
        for wire in [web("https://a.test"), web("https://[::1]:8443/b"), spiffe("spiffe://a.test/spire/server")] {
            let (relationship, bundle) = relationship_from_wire(&wire).unwrap();
            assert_eq!(relationship_to_wire(&relationship, bundle.as_ref(), None), wire);
        }
    }

    #[test]
    fn taints_of_other_domains_are_dropped() {
        let keys = vec![types::JwtKey { tainted: true, ..key() }];
        let bundle =
            types::Bundle { trust_domain: "spiffe://a.test".into(), jwt_authorities: keys, ..types::Bundle::default() };
        let wire = types::FederationRelationship { trust_domain_bundle: Some(bundle), ..web("https://a.test") };
        let (_, bundle) = relationship_from_wire(&wire).unwrap();
        let tainted: Vec<bool> = bundle.unwrap().jwt_authorities.iter().map(|key| key.tainted).collect();
        assert_eq!(tainted, [false]);
    }

    #[test]
    fn texts_are_spires() {
        let other = types::Bundle { trust_domain: "spiffe://b.test/x".into(), ..types::Bundle::default() };
        let cases = [
            (
                types::FederationRelationship { trust_domain: String::new(), ..web("https://x.test") },
                "failed to parse trust domain: trust domain is missing",
            ),
            (web("http://x.test"), "bundle endpoint URL must use the https scheme"),
            (
                types::FederationRelationship { bundle_endpoint_profile: None, ..web("https://x.test") },
                "unsupported bundle endpoint profile type: <nil>",
            ),
            (spiffe(""), "failed to parse endpoint SPIFFE ID: cannot be empty"),
            (spiffe("nonsense"), "failed to parse endpoint SPIFFE ID: scheme is missing or invalid"),
            (
                types::FederationRelationship { trust_domain_bundle: Some(other), ..web("https://x.test") },
                "trust domain bundle (\"spiffe://b.test/x\") must match the trust domain of the federation \
                 relationship (\"a.test\")",
            ),
        ];
        for (wire, text) in cases {
            assert_eq!(relationship_from_wire(&wire).unwrap_err().message, text);
        }
    }
}
