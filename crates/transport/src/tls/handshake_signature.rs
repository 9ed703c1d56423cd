//! The signature that a peer makes over the handshake with the key of its certificate. Every verifier checks it alike,
//! whatever it thinks of the certificate.

use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};

/// What certificates and handshakes may be signed with.
pub fn signature_algorithms() -> WebPkiSupportedAlgorithms {
    aws_lc_rs::default_provider().signature_verification_algorithms
}

/// Inside an `impl` of rustls' `ServerCertVerifier` or `ClientCertVerifier`: the three methods that are not about the
/// certificate.
#[macro_export]
macro_rules! verify_handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &::rustls::pki_types::CertificateDer<'_>,
            dss: &::rustls::DigitallySignedStruct,
        ) -> Result<::rustls::client::danger::HandshakeSignatureValid, ::rustls::Error> {
            ::rustls::crypto::verify_tls12_signature(message, cert, dss, &$crate::tls::signature_algorithms())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &::rustls::pki_types::CertificateDer<'_>,
            dss: &::rustls::DigitallySignedStruct,
        ) -> Result<::rustls::client::danger::HandshakeSignatureValid, ::rustls::Error> {
            ::rustls::crypto::verify_tls13_signature(message, cert, dss, &$crate::tls::signature_algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<::rustls::SignatureScheme> {
            $crate::tls::signature_algorithms().supported_schemes()
        }
    };
}
