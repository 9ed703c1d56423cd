//! Federation relationships.

use http::Uri;
use steeple_core::{Bundle, BundleEndpointProfile, FederationRelationship, SpiffeId};

use super::{ConvertError, bundle_from_wire, bundle_to_wire, trust_domain_from_wire};
use crate::types;
use crate::types::federation_relationship::BundleEndpointProfile as WireProfile;

/// Checks the whole message, also when an update's mask names little of it (SPIRE behaviour).
pub fn relationship_from_wire(
    wire: &types::FederationRelationship,
) -> Result<(FederationRelationship, Option<Bundle>), ConvertError> {
    let trust_domain =
        trust_domain_from_wire(&wire.trust_domain).map_err(|error| error.within("failed to parse trust domain"))?;
    check_url(&wire.bundle_endpoint_url)?;
    let profile = match &wire.bundle_endpoint_profile {
        Some(WireProfile::HttpsWeb(_)) => BundleEndpointProfile::HttpsWeb,
        Some(WireProfile::HttpsSpiffe(spiffe)) => BundleEndpointProfile::HttpsSpiffe {
            endpoint_spiffe_id: SpiffeId::parse(&spiffe.endpoint_spiffe_id)
                .map_err(|error| ConvertError::from(error).within("failed to parse endpoint SPIFFE ID"))?,
        },
        None => return Err(ConvertError::new("unsupported bundle endpoint profile type: <nil>")),
    };
    let bundle = match &wire.trust_domain_bundle {
        Some(bundle) => Some(bundle_from_wire(bundle, None).map_err(|error| error.within("failed to parse bundle"))?),
        None => None,
    };
    if let Some(bundle) = bundle.as_ref().filter(|bundle| bundle.trust_domain != trust_domain) {
        return Err(ConvertError::new(format!(
            "trust domain bundle (\"{}\") must match the trust domain of the federation relationship \
             (\"{trust_domain}\")",
            bundle.trust_domain
        )));
    }
    let bundle_endpoint_url = wire.bundle_endpoint_url.clone();
    Ok((FederationRelationship { trust_domain, bundle_endpoint_url, profile }, bundle))
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

/// An https URL with a host and without user information, as SPIFFE Federation, section 5.1, demands.
fn check_url(url: &str) -> Result<(), ConvertError> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(ConvertError::new("bundle endpoint URL must use the https scheme"));
    }
    let rest = rest.strip_prefix("//").unwrap_or("");
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() || host.starts_with(':') {
        return Err(ConvertError::new("bundle endpoint URL must specify the host"));
    }
    if user.is_some() {
        return Err(ConvertError::new("bundle endpoint URL must not contain user info"));
    }
    url.parse::<Uri>()
        .map_err(|error| ConvertError::new(format!("failed to parse bundle endpoint URL: {error}: {url:?}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for wire in [web("https://a.test"), web("HTTPS://[::1]:8443/b"), spiffe("spiffe://a.test/spire/server")] {
            let (relationship, bundle) = relationship_from_wire(&wire).unwrap();
            assert_eq!(relationship_to_wire(&relationship, bundle.as_ref(), None), wire);
        }
    }

    #[test]
    fn texts_are_spires() {
        let other = types::Bundle { trust_domain: "b.test".into(), ..types::Bundle::default() };
        let cases = [
            (
                types::FederationRelationship { trust_domain: String::new(), ..web("https://x.test") },
                "failed to parse trust domain: trust domain is missing",
            ),
            (web(""), "bundle endpoint URL must use the https scheme"),
            (web("http://x.test"), "bundle endpoint URL must use the https scheme"),
            (web("https://"), "bundle endpoint URL must specify the host"),
            (web("https:x.test"), "bundle endpoint URL must specify the host"),
            (web("https://:443/"), "bundle endpoint URL must specify the host"),
            (web("https://user:secret@x.test/"), "bundle endpoint URL must not contain user info"),
            (
                types::FederationRelationship { bundle_endpoint_profile: None, ..web("https://x.test") },
                "unsupported bundle endpoint profile type: <nil>",
            ),
            (spiffe(""), "failed to parse endpoint SPIFFE ID: cannot be empty"),
            (spiffe("nonsense"), "failed to parse endpoint SPIFFE ID: scheme is missing or invalid"),
            (
                types::FederationRelationship { trust_domain_bundle: Some(other), ..web("https://x.test") },
                "trust domain bundle (\"b.test\") must match the trust domain of the federation relationship \
                 (\"a.test\")",
            ),
        ];
        for (wire, text) in cases {
            assert_eq!(relationship_from_wire(&wire).unwrap_err().message, text);
        }
        let error = relationship_from_wire(&web("https://x.test/a b")).unwrap_err().message;
        assert!(error.starts_with("failed to parse bundle endpoint URL: "), "{error}");
    }
}
