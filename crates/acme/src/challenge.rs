//! What is shown to an ACME server that connects (RFC 8737, section 3).

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivatePkcs8KeyDer;
use steeple_transport::tls::ACME_TLS;

/// Whether the client asks for the challenge and for nothing else: a browser or an agent never gets it.
pub(crate) fn is_asked_for(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_TLS) && offered.next().is_none())
}

/// A certificate for `domain` that nobody vouches for, with `digest` in a critical extension. `None` for what is no
/// name.
pub(crate) fn certificate(domain: &str, digest: &[u8; 32]) -> Option<CertifiedKey> {
    let mut params = CertificateParams::new(vec![domain.to_owned()]).ok()?;
    params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    let pair = KeyPair::generate().ok()?;
    let certificate = params.self_signed(&pair).ok()?;
    let key = PrivatePkcs8KeyDer::from(pair.serialized_der()).into();
    let key = aws_lc_rs::sign::any_supported_type(&key).ok()?;
    Some(CertifiedKey::new(vec![certificate.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;

    #[test]
    fn the_digest_stands_in_a_critical_extension_of_a_certificate_for_the_name() {
        let shown = certificate("bundle.one.test", &[7; 32]).unwrap();
        let (_, certificate) = X509Certificate::from_der(&shown.cert[0]).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [GeneralName::DNSName("bundle.one.test")]);
        let found = certificate.extensions().iter().find(|found| found.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let found = found.unwrap();
        // An OCTET STRING of 32 bytes.
        assert!(found.critical && found.value == [&[0x04, 32][..], &[7; 32]].concat(), "{found:?}");
    }
}
