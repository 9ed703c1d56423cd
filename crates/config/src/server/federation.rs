//! `federation {}`: the own bundle endpoint and the trust domains federated with.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use steeple_core::{BundleEndpointProfile, FederationRelationship, SpiffeId, TrustDomain};

use super::federation_file::{BundleEndpointFile, EndpointProfileFile, FederatesWithFile, FederationFile};
use crate::common::{acme_directory, check_domain, duration, given, lasting};
use crate::notice::Notice;
use crate::quote::go_quoted;
use crate::{ConfigError, HostPort};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FederationSettings {
    pub bundle_endpoint: Option<BundleEndpointSettings>,
    /// In the order of the file, one for each trust domain.
    pub relationships: Vec<FederationRelationship>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEndpointSettings {
    pub listen: HostPort,
    pub refresh_hint: Duration,
    pub profile: EndpointProfile,
}

/// How the own bundle endpoint authenticates itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointProfile {
    /// With the server's own SVID.
    HttpsSpiffe,
    WebAcme(AcmeSettings),
    WebServingCert(ServingCert),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeSettings {
    pub directory_url: String,
    /// In lower case once it is resolved.
    pub domain_name: String,
    pub email: String,
    pub tos_accepted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingCert {
    pub cert_file_path: PathBuf,
    pub key_file_path: PathBuf,
    /// How often the files are looked at again.
    pub file_sync_interval: Duration,
}

/// The checks that SPIRE makes before it looks at anything else.
pub(super) fn check(file: &FederationFile) -> Result<(), ConfigError> {
    if let Some(acme) = file.bundle_endpoint.as_ref().and_then(|endpoint| endpoint.acme.as_ref()) {
        if acme.domain_name.is_empty() {
            return Err(ConfigError::Missing { what: "federation.bundle_endpoint.acme.domain_name" });
        }
        if acme.email.is_empty() {
            return Err(ConfigError::Missing { what: "federation.bundle_endpoint.acme.email" });
        }
    }
    for relationship in &file.federates_with {
        let key = format!("federation.federates_with[\"{}\"].bundle_endpoint_url", relationship.trust_domain);
        let url = &relationship.bundle_endpoint_url;
        if url.is_empty() {
            return Err(invalid(format!("{key} must be configured")));
        }
        if !url.to_ascii_lowercase().starts_with("https://") {
            return Err(invalid(format!("{key} must use the HTTPS protocol; URL found: {}", go_quoted(url))));
        }
    }
    Ok(())
}

pub(super) fn resolve(
    file: &FederationFile,
    own: &TrustDomain,
    notices: &mut Vec<Notice>,
) -> Result<FederationSettings, ConfigError> {
    let bundle_endpoint = match &file.bundle_endpoint {
        Some(endpoint) => Some(resolve_endpoint(endpoint, notices)?),
        None => None,
    };
    let mut relationships: Vec<FederationRelationship> = Vec::new();
    for relationship in &file.federates_with {
        let resolved = resolve_relationship(relationship)?;
        let name = go_quoted(resolved.trust_domain.name());
        if resolved.trust_domain == *own {
            return Err(invalid(format!("federation.federates_with: {name} is the server's own trust domain")));
        }
        if relationships.iter().any(|other| other.trust_domain == resolved.trust_domain) {
            return Err(invalid(format!("federation.federates_with: trust domain {name} is configured twice")));
        }
        relationships.push(resolved);
    }
    Ok(FederationSettings { bundle_endpoint, relationships })
}

fn resolve_endpoint(
    file: &BundleEndpointFile,
    notices: &mut Vec<Notice>,
) -> Result<BundleEndpointSettings, ConfigError> {
    let refresh_hint = lasting(
        "federation.bundle_endpoint.refresh_hint",
        duration("refresh_hint", &file.refresh_hint)?,
        REFRESH_HINT,
    )?;
    if refresh_hint >= REFRESH_HINT_HIGH {
        notices.push(Notice::warn(
            "Bundle endpoint refresh hint set to a high value. To cover the case of unscheduled trust bundle updates, \
             it's recommended to have a smaller value, e.g. 5m",
        ));
    }
    if refresh_hint < REFRESH_HINT_LOW {
        notices.push(Notice::warn(
            "Bundle endpoint refresh hint set too low. SPIRE will not refresh more often than 1 minute",
        ));
    }
    let address = given(&file.address).unwrap_or("0.0.0.0").trim_matches(['[', ']']);
    if address.parse::<IpAddr>().is_err() {
        let message = format!("federation.bundle_endpoint.address {} is not an IP address", go_quoted(address));
        return Err(invalid(message));
    }
    let port = file.port.unwrap_or_default();
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    let port = port.ok_or(ConfigError::Missing { what: "federation.bundle_endpoint.port (1 to 65535)" })?;
    Ok(BundleEndpointSettings {
        listen: HostPort::new(address, port),
        refresh_hint,
        profile: resolve_profile(file, notices)?,
    })
}

fn resolve_profile(file: &BundleEndpointFile, notices: &mut Vec<Notice>) -> Result<EndpointProfile, ConfigError> {
    match (&file.acme, &file.profile) {
        (Some(_), Some(_)) => Err(invalid("either bundle endpoint 'acme' or 'profile' can be set, but not both")),
        (Some(acme), None) => {
            notices.push(Notice::warn(
                "ACME configuration within the bundle_endpoint is deprecated. Please use ACME configuration as part of \
                 the https_web profile instead.",
            ));
            resolve_acme(acme)
        }
        (None, None) => {
            notices.push(Notice::warn(
                "Bundle endpoint is configured but has no profile set, using https_spiffe as default; please configure \
                 a profile explicitly. This will be fatal in a future release.",
            ));
            Ok(EndpointProfile::HttpsSpiffe)
        }
        // The name is a key, and keys have any case.
        (None, Some(profile)) => match profile.name.to_ascii_lowercase().as_str() {
            "https_spiffe" => Ok(EndpointProfile::HttpsSpiffe),
            "https_web" => resolve_web_profile(profile),
            _ => Err(invalid(
                "unknown bundle endpoint profile configured; current supported profiles are \"https_spiffe\" and \
                 'https_web\"",
            )),
        },
    }
}

fn resolve_web_profile(profile: &EndpointProfileFile) -> Result<EndpointProfile, ConfigError> {
    match (&profile.acme, &profile.serving_cert_file) {
        (Some(acme), _) => resolve_acme(acme),
        (None, Some(serving)) => {
            let interval = duration("file_sync_interval", &serving.file_sync_interval)?;
            if serving.cert_file_path.is_empty() || serving.key_file_path.is_empty() {
                return Err(ConfigError::Missing { what: "serving_cert_file.cert_file_path and key_file_path" });
            }
            Ok(EndpointProfile::WebServingCert(ServingCert {
                cert_file_path: PathBuf::from(&serving.cert_file_path),
                key_file_path: PathBuf::from(&serving.key_file_path),
                file_sync_interval: lasting("serving_cert_file.file_sync_interval", interval, FILE_SYNC_INTERVAL)?,
            }))
        }
        (None, None) => {
            Err(invalid("malformed https_web profile configuration: 'acme' or 'serving_cert_file' is required"))
        }
    }
}

fn resolve_acme(file: &AcmeSettings) -> Result<EndpointProfile, ConfigError> {
    let domain_name = file.domain_name.to_ascii_lowercase();
    check_domain("federation.bundle_endpoint.acme.domain_name", &domain_name)?;
    let directory_url = acme_directory("federation.bundle_endpoint.acme.directory_url", &file.directory_url)?;
    Ok(EndpointProfile::WebAcme(AcmeSettings { directory_url, domain_name, ..file.clone() }))
}

fn resolve_relationship(file: &FederatesWithFile) -> Result<FederationRelationship, ConfigError> {
    let trust_domain = TrustDomain::parse(&file.trust_domain).map_err(|error| invalid(error.to_string()))?;
    let quoted = go_quoted(&file.trust_domain);
    let Some((name, endpoint_spiffe_id)) = &file.profile else {
        let message =
            format!("federation configuration for trust domain {quoted}: missing bundle endpoint configuration");
        return Err(invalid(message));
    };
    let malformed =
        |reason: String| invalid(format!("error parsing federation relationship for trust domain {quoted}: {reason}"));
    let profile = match name.to_ascii_lowercase().as_str() {
        "https_web" => BundleEndpointProfile::HttpsWeb,
        "https_spiffe" => BundleEndpointProfile::HttpsSpiffe {
            endpoint_spiffe_id: SpiffeId::parse(endpoint_spiffe_id)
                .map_err(|error| malformed(format!("could not get endpoint SPIFFE ID: {error}")))?,
        },
        _ => {
            let known = "no bundle endpoint profile defined; current supported profiles are \"https_spiffe\" and \
                         'https_web\"";
            return Err(malformed(known.into()));
        }
    };
    Ok(FederationRelationship { trust_domain, bundle_endpoint_url: file.bundle_endpoint_url.clone(), profile })
}

fn invalid(message: impl Into<String>) -> ConfigError {
    ConfigError::invalid("federation", message)
}

const REFRESH_HINT: Duration = Duration::from_secs(5 * 60);
const REFRESH_HINT_LOW: Duration = Duration::from_secs(60);
const REFRESH_HINT_HIGH: Duration = Duration::from_secs(24 * 3_600);
/// SPIRE means an hour, but refuses a file without the key.
const FILE_SYNC_INTERVAL: Duration = Duration::from_secs(3_600);
