//! `federation {}` as it stands in the file.

use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{AcmeSettings, DecodeError};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FederationFile {
    pub bundle_endpoint: Option<BundleEndpointFile>,
    /// In the order of the file.
    pub federates_with: Vec<FederatesWithFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleEndpointFile {
    pub address: Option<String>,
    pub port: Option<i64>,
    pub refresh_hint: Option<String>,
    /// Deprecated place of `profile "https_web" { acme { … } }`.
    pub acme: Option<AcmeSettings>,
    pub profile: Option<EndpointProfileFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointProfileFile {
    pub name: String,
    pub acme: Option<AcmeSettings>,
    pub serving_cert_file: Option<ServingCertFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServingCertFile {
    pub cert_file_path: String,
    pub key_file_path: String,
    pub file_sync_interval: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FederatesWithFile {
    pub trust_domain: String,
    pub bundle_endpoint_url: String,
    /// Name of the profile and its `endpoint_spiffe_id`.
    pub profile: Option<(String, String)>,
}

impl FederationFile {
    pub(super) fn read(server: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = server.section("federation")? else {
            return Ok(None);
        };
        let mut read =
            Self { bundle_endpoint: BundleEndpointFile::read(&mut section, unknown)?, federates_with: vec![] };
        for (trust_domain, relationship) in section.labelled("federates_with")? {
            read.federates_with.push(FederatesWithFile::read(trust_domain, relationship, unknown)?);
        }
        section.finish("federation", unknown);
        Ok(Some(read))
    }
}

impl BundleEndpointFile {
    fn read(federation: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = federation.section("bundle_endpoint")? else {
            return Ok(None);
        };
        let mut read = Self {
            address: section.text("address")?,
            port: section.int("port")?,
            refresh_hint: section.text("refresh_hint")?,
            acme: read_acme(&mut section, unknown)?,
            profile: None,
        };
        if let Some((name, mut profile)) = section.one_labelled("profile")? {
            let acme = read_acme(&mut profile, unknown)?;
            let serving_cert_file = ServingCertFile::read(&mut profile, unknown)?;
            profile.finish(format!("bundle endpoint profile {name:?}"), unknown);
            read.profile = Some(EndpointProfileFile { name: name.to_owned(), acme, serving_cert_file });
        }
        section.finish("bundle endpoint", unknown);
        Ok(Some(read))
    }
}

impl ServingCertFile {
    fn read(profile: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = profile.section("serving_cert_file")? else {
            return Ok(None);
        };
        let read = Self {
            cert_file_path: section.text("cert_file_path")?.unwrap_or_default(),
            key_file_path: section.text("key_file_path")?.unwrap_or_default(),
            file_sync_interval: section.text("file_sync_interval")?,
        };
        section.finish("serving_cert_file", unknown);
        Ok(Some(read))
    }
}

impl FederatesWithFile {
    fn read(trust_domain: &str, mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let mut read = Self {
            trust_domain: trust_domain.to_owned(),
            bundle_endpoint_url: section.text("bundle_endpoint_url")?.unwrap_or_default(),
            profile: None,
        };
        if let Some((name, mut profile)) = section.one_labelled("bundle_endpoint_profile")? {
            let endpoint_spiffe_id = profile.text("endpoint_spiffe_id")?.unwrap_or_default();
            profile.finish(format!("bundle_endpoint_profile {name:?}"), unknown);
            read.profile = Some((name.to_owned(), endpoint_spiffe_id));
        }
        section.finish(format!("federates_with {trust_domain:?}"), unknown);
        Ok(read)
    }
}

fn read_acme(section: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Option<AcmeSettings>, DecodeError> {
    let Some(mut acme) = section.section("acme")? else {
        return Ok(None);
    };
    let read = AcmeSettings {
        directory_url: acme.text("directory_url")?.unwrap_or_default(),
        domain_name: acme.text("domain_name")?.unwrap_or_default(),
        email: acme.text("email")?.unwrap_or_default(),
        tos_accepted: acme.flag("tos_accepted")?.unwrap_or_default(),
    };
    acme.finish("bundle endpoint ACME", unknown);
    Ok(Some(read))
}
