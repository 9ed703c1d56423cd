//! What a node's certificate says about the node.

use std::collections::BTreeMap;

use steeple_core::plugin::AttestError;
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

pub(super) fn serial_number_hex(leaf: &X509Certificate<'_>) -> String {
    let serial = leaf.raw_serial();
    let serial = &serial[serial.iter().take_while(|byte| **byte == 0).count()..];
    if serial.is_empty() { "00".into() } else { hex::encode(serial) }
}

/// `x509pop://<trust domain>/<key>/<value>` as key and value.
pub(super) fn uri_san_selectors(leaf: &X509Certificate<'_>, trust_domain: &str) -> BTreeMap<String, String> {
    let prefix = format!("x509pop://{trust_domain}/");
    let pairs = uris(leaf).filter_map(|uri| uri.strip_prefix(&prefix)?.trim_matches('/').split_once('/'));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The path of the leaf's SPIFFE ID behind `prefix`.
pub(super) fn svid_path_after<'a>(leaf: &'a X509Certificate<'a>, prefix: &str) -> Result<&'a str, AttestError> {
    let id = uris(leaf).find_map(|uri| uri.strip_prefix("spiffe://"));
    let id = id.ok_or_else(|| AttestError::denied("valid SVID x509 cert not found"))?;
    let path = id.find('/').map_or("", |slash| &id[slash..]);
    path.strip_prefix(prefix).ok_or_else(|| AttestError::denied("x509 cert doesnt match SVID prefix"))
}

pub(super) fn uris<'a>(leaf: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a str> {
    general_names(leaf).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}

pub(super) fn general_names<'a>(certificate: &'a X509Certificate<'a>) -> impl Iterator<Item = &'a GeneralName<'a>> {
    certificate.extensions().iter().flat_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => names.general_names.as_slice(),
        _ => &[],
    })
}
