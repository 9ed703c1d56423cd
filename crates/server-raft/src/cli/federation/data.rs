//! Relationships from flags, or from the JSON file that `-data` names.

use serde::Deserialize;
use serde_json::Value;
use steeple_api::types::federation_relationship::BundleEndpointProfile;
use steeple_api::types::{Bundle, FederationRelationship, HttpsWebProfile, HttpsspiffeProfile};
use steeple_cli::{Call, Context, Failure, Flag, Values};
use steeple_core::SpiffeId;

use crate::cli::bundle_data::{BundleFormat, parse_bundle};
use crate::cli::go_json::{Shape, Struct, from_go_json};

pub(super) const FLAGS: &[Flag] = &[
    Flag::text("bundleEndpointProfile", "How the endpoint is authenticated: https_web or https_spiffe"),
    Flag::text("bundleEndpointURL", "HTTPS URL of the other trust domain's bundle"),
    Flag::text("data", "File with relationships as JSON, - for standard input, instead of the other flags"),
    Flag::text("endpointSpiffeID", "SPIFFE ID of the endpoint, with https_spiffe"),
    Flag::text("trustDomain", "Name of the other trust domain"),
    Flag::text_or("trustDomainBundleFormat", "pem", "Form of that file: pem or spiffe"),
    Flag::text("trustDomainBundlePath", "File with the first bundle of the other trust domain"),
];

#[derive(Deserialize)]
struct File {
    #[serde(rename = "federationrelationships", default)]
    relationships: Vec<Relationship>,
}

/// SPIRE's JSON members, in lower case as [`from_go_json`] gives them; the flags fill the same.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Relationship {
    #[serde(rename = "trustdomain")]
    trust_domain: String,
    #[serde(rename = "bundleendpointurl")]
    bundle_endpoint_url: String,
    #[serde(rename = "bundleendpointprofile")]
    bundle_endpoint_profile: String,
    #[serde(rename = "endpointspiffeid")]
    endpoint_spiffe_id: String,
    /// A string of PEM, or a SPIFFE document.
    #[serde(rename = "trustdomainbundle")]
    trust_domain_bundle: Option<Value>,
    #[serde(rename = "trustdomainbundleformat")]
    trust_domain_bundle_format: String,
}

const FILE: Struct = Struct {
    name: "federation.federationRelationships",
    members: &[("federationRelationships", Shape::List(&Shape::Object(&RELATIONSHIP)))],
};

const RELATIONSHIP: Struct = Struct {
    name: "federation.federationRelationshipConfig",
    members: &[
        ("trustDomain", Shape::Text),
        ("bundleEndpointURL", Shape::Text),
        ("bundleEndpointProfile", Shape::Text),
        ("endpointSPIFFEID", Shape::Text),
        ("trustDomainBundle", Shape::Any),
        ("trustDomainBundleFormat", Shape::Text),
    ],
};

pub(super) fn relationships(call: &mut Call) -> Result<Vec<FederationRelationship>, Failure> {
    if let Some(path) = call.values.text_if_any("data").map(str::to_owned) {
        let others = FLAGS.iter().map(|flag| flag.name).filter(|name| *name != "data");
        if others.into_iter().any(|name| call.values.given(name)) {
            return Err(Failure::message(
                "cannot use other flags to specify relationship fields when 'data' flag is set",
            ));
        }
        return from_json(&call.read(&path, "-")?);
    }
    Ok(vec![from_flags(&call.values)?])
}

fn from_flags(values: &Values) -> Result<FederationRelationship, Failure> {
    let text = |name: &str| values.text(name).to_owned();
    let relationship = Relationship {
        trust_domain: text("trustDomain"),
        bundle_endpoint_url: text("bundleEndpointURL"),
        bundle_endpoint_profile: text("bundleEndpointProfile"),
        endpoint_spiffe_id: text("endpointSpiffeID"),
        trust_domain_bundle: None,
        trust_domain_bundle_format: text("trustDomainBundleFormat"),
    };
    let mut converted = converted(&relationship)?;
    if let Some(path) = values.text_if_any("trustDomainBundlePath") {
        let data = steeple_cli::read_file(path).context("cannot read bundle file")?;
        // Whatever is not PEM is a SPIFFE document (SPIRE behaviour).
        let is_pem = relationship.trust_domain_bundle_format == FORMAT_PEM;
        let format = if is_pem { BundleFormat::Pem } else { BundleFormat::Spiffe };
        let bundle = parse_bundle(bundle_domain(&relationship)?.as_str(), &data, format);
        converted.trust_domain_bundle = Some(bundle.context("cannot parse bundle file")?);
    }
    Ok(converted)
}

fn from_json(json: &[u8]) -> Result<Vec<FederationRelationship>, Failure> {
    let file: Result<File, _> = from_go_json(json, &FILE);
    let file = file.map_err(|error| Failure::Message(format!("failed to parse JSON: {error}")))?;
    let one = |(at, relationship): (usize, &Relationship)| {
        with_inline_bundle(relationship).context(format!("could not parse item {at}"))
    };
    file.relationships.iter().enumerate().map(one).collect()
}

fn with_inline_bundle(relationship: &Relationship) -> Result<FederationRelationship, Failure> {
    let mut converted = converted(relationship)?;
    if let Some(value) = &relationship.trust_domain_bundle {
        let bundle = inline_bundle(relationship, value).context("cannot parse bundle raw message")?;
        converted.trust_domain_bundle = Some(bundle);
    }
    Ok(converted)
}

fn inline_bundle(relationship: &Relationship, value: &Value) -> Result<Bundle, Failure> {
    let domain = bundle_domain(relationship)?;
    match relationship.trust_domain_bundle_format.as_str() {
        FORMAT_PEM => {
            let no_string = || Failure::message("failed to unmarshal json: a bundle in PEM form is a string");
            parse_bundle(&domain, value.as_str().ok_or_else(no_string)?.as_bytes(), BundleFormat::Pem)
        }
        FORMAT_SPIFFE => parse_bundle(&domain, value.to_string().as_bytes(), BundleFormat::Spiffe),
        other => Err(Failure::Message(format!("bundle format {other:?} is unsupported"))),
    }
}

/// With https_spiffe the bundle is that of the endpoint's trust domain (SPIRE behaviour).
fn bundle_domain(relationship: &Relationship) -> Result<String, Failure> {
    if relationship.bundle_endpoint_profile != PROFILE_SPIFFE {
        return Ok(relationship.trust_domain.clone());
    }
    Ok(endpoint_id(relationship)?.trust_domain_name().to_owned())
}

/// Without the bundle.
fn converted(relationship: &Relationship) -> Result<FederationRelationship, Failure> {
    if relationship.trust_domain.is_empty() {
        return Err(Failure::message("trust domain is required"));
    }
    if relationship.bundle_endpoint_url.is_empty() {
        return Err(Failure::message("bundle endpoint URL is required"));
    }
    let profile = match relationship.bundle_endpoint_profile.as_str() {
        PROFILE_WEB => BundleEndpointProfile::HttpsWeb(HttpsWebProfile {}),
        PROFILE_SPIFFE => {
            let endpoint_spiffe_id = endpoint_id(relationship)?.to_string();
            BundleEndpointProfile::HttpsSpiffe(HttpsspiffeProfile { endpoint_spiffe_id })
        }
        other => return Err(Failure::Message(format!("unknown bundle endpoint profile type: {other:?}"))),
    };
    Ok(FederationRelationship {
        trust_domain: relationship.trust_domain.clone(),
        bundle_endpoint_url: relationship.bundle_endpoint_url.clone(),
        trust_domain_bundle: None,
        bundle_endpoint_profile: Some(profile),
    })
}

fn endpoint_id(relationship: &Relationship) -> Result<SpiffeId, Failure> {
    if relationship.endpoint_spiffe_id.is_empty() {
        return Err(Failure::message("endpoint SPIFFE ID is required if 'https_spiffe' endpoint profile is set"));
    }
    SpiffeId::parse(&relationship.endpoint_spiffe_id)
        .map_err(Failure::message)
        .context("cannot parse bundle endpoint SPIFFE ID")
}

const FORMAT_PEM: &str = "pem";
const FORMAT_SPIFFE: &str = "spiffe";
const PROFILE_SPIFFE: &str = "https_spiffe";
const PROFILE_WEB: &str = "https_web";

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(args: &[&str]) -> Result<FederationRelationship, Failure> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        from_flags(&Values::parse(FLAGS.iter().copied(), &args).unwrap())
    }

    #[test]
    fn flags_are_checked_in_order() {
        let text = |args: &[&str]| flags(args).unwrap_err().to_string();
        assert_eq!(text(&[]), "trust domain is required");
        assert_eq!(text(&["-trustDomain", "a.test"]), "bundle endpoint URL is required");
        let url = ["-trustDomain", "a.test", "-bundleEndpointURL", "https://a.test/b"];
        assert_eq!(text(&url), "unknown bundle endpoint profile type: \"\"");
        let spiffe = [&url[..], &["-bundleEndpointProfile", "https_spiffe"]].concat();
        assert_eq!(text(&spiffe), "endpoint SPIFFE ID is required if 'https_spiffe' endpoint profile is set");
        let web = [&url[..], &["-bundleEndpointProfile", "https_web"]].concat();
        assert_eq!(
            flags(&web).unwrap().bundle_endpoint_profile,
            Some(BundleEndpointProfile::HttpsWeb(HttpsWebProfile {}))
        );
    }

    #[test]
    fn the_json_of_spire() {
        let json = br#"{"federationRelationships": [
            {"trustDomain": "a.test", "bundleEndpointURL": "https://a.test/b", "bundleEndpointProfile": "https_spiffe",
             "endpointSPIFFEID": "spiffe://a.test/endpoint", "trustDomainBundleFormat": "spiffe",
             "trustDomainBundle": {"keys": []}},
            {"trustDomain": "b.test", "bundleEndpointURL": "https://b.test/b", "bundleEndpointProfile": "none"}
        ]}"#;
        let error = from_json(json).unwrap_err().to_string();
        assert_eq!(error, "could not parse item 1: unknown bundle endpoint profile type: \"none\"");
        let json = String::from_utf8(json.to_vec()).unwrap().replace("\"none\"", "\"https_web\"");
        let relationships = from_json(json.as_bytes()).unwrap();
        assert_eq!(relationships[0].trust_domain_bundle.as_ref().unwrap().trust_domain, "a.test");
        assert_eq!(relationships[1].trust_domain_bundle, None);
        for format in ["", "der"] {
            let other = json.replace("Format\": \"spiffe\"", &format!("Format\": \"{format}\""));
            let told = format!(
                "could not parse item 0: cannot parse bundle raw message: bundle format {format:?} is unsupported"
            );
            assert_eq!(from_json(other.as_bytes()).unwrap_err().to_string(), told);
        }
    }
}
