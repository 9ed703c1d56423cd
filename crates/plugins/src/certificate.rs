//! What attestors read in certificates of nodes.

use sha1::{Digest as _, Sha1};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// One certificate and nothing behind it.
pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

pub(crate) fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next().and_then(|cn| cn.as_str().ok()).map(str::to_owned)
}

/// SHA-1 in hexadecimal digits: a name, which nothing relies on for integrity (SPIRE behaviour).
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha1::digest(der))
}
