//! Facts about certificates that were issued elsewhere, or earlier.

use steeple_core::{SpiffeId, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;

use crate::DistinguishedName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The first URI SAN that is a SPIFFE ID.
    pub spiffe_id: Option<SpiffeId>,
    /// In decimal, as SPIRE compares serials.
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// As Go prints a distinguished name.
    pub subject: String,
    /// PKIX DER.
    pub public_key: Vec<u8>,
    pub subject_key_id: Option<Vec<u8>>,
    pub authority_key_id: Option<Vec<u8>>,
}

/// The certificates of a series of them, as the Workload API joins them. `None` when `series` is anything else.
pub fn split(series: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    let mut rest = series;
    while !rest.is_empty() {
        let (after, _) = X509Certificate::from_der(rest).ok()?;
        let (certificate, _) = rest.split_at_checked(rest.len() - after.len())?;
        certificates.push(certificate.to_vec());
        rest = after;
    }
    Some(certificates)
}

/// `None` when `der` does not begin with a certificate.
pub fn facts(der: &[u8]) -> Option<CertificateFacts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut facts = CertificateFacts {
        spiffe_id: None,
        serial: certificate.serial.to_string(),
        not_before: Timestamp::from_secs(certificate.validity().not_before.timestamp()),
        not_after: Timestamp::from_secs(certificate.validity().not_after.timestamp()),
        subject: DistinguishedName::from_x509(certificate.subject()).to_string(),
        public_key: certificate.public_key().raw.to_vec(),
        subject_key_id: None,
        authority_key_id: None,
    };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                facts.spiffe_id = names.general_names.iter().find_map(|name| match name {
                    GeneralName::URI(uri) => SpiffeId::parse(uri).ok(),
                    _ => None,
                });
            }
            ParsedExtension::SubjectKeyIdentifier(id) => facts.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                facts.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    Some(facts)
}

/// Whether the key of `issuer` signed `certificate`; names and dates are not looked at.
pub fn is_signed_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let (Ok((_, certificate)), Ok((_, issuer))) =
        (X509Certificate::from_der(certificate), X509Certificate::from_der(issuer))
    else {
        return false;
    };
    certificate.verify_signature(Some(issuer.public_key())).is_ok()
}
