//! Keys of certificates beside keys of TPMs.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use steeple_tpm::{Curve, PublicKey};
use x509_parser::public_key::PublicKey as CertifiedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::ecdsa::minimal;

/// In Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("crypto/rsa: verification error")]
    Rsa,
    #[error("x509: ECDSA verification failure")]
    Ecdsa,
    #[error("unsupported public key type: DevID keys are RSA keys of at least 2048 bits, or on P-256, P-384 or P-521")]
    Key,
}

/// The key of a certificate as a TPM's would be; `None` where no TPM has such keys.
pub(super) fn of_certificate(key: &SubjectPublicKeyInfo<'_>) -> Option<PublicKey> {
    match key.parsed().ok()? {
        CertifiedKey::RSA(rsa) => {
            Some(PublicKey::Rsa { n: minimal(rsa.modulus).to_vec(), e: minimal(rsa.exponent).to_vec() })
        }
        CertifiedKey::EC(point) => {
            let is_on = |curve: &Curve| point.data().len() == 1 + 2 * curve.coordinate_bytes();
            let curve = Curve::ALL.into_iter().find(is_on)?;
            Some(PublicKey::Ecc { curve, point: point.data().to_vec() })
        }
        _ => None,
    }
}

/// Whether `signature` is one over `message` with SHA-256, by the key of a certificate.
pub(super) fn verify(key: &SubjectPublicKeyInfo<'_>, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let (algorithm, failure): (&'static dyn VerificationAlgorithm, _) = match of_certificate(key) {
        Some(PublicKey::Rsa { .. }) => (&signature::RSA_PKCS1_2048_8192_SHA256, SignatureError::Rsa),
        Some(PublicKey::Ecc { curve: Curve::P256, .. }) => (&signature::ECDSA_P256_SHA256_ASN1, SignatureError::Ecdsa),
        Some(PublicKey::Ecc { curve: Curve::P384, .. }) => (&signature::ECDSA_P384_SHA256_ASN1, SignatureError::Ecdsa),
        Some(PublicKey::Ecc { curve: Curve::P521, .. }) => (&signature::ECDSA_P521_SHA256_ASN1, SignatureError::Ecdsa),
        None => return Err(SignatureError::Key),
    };
    let key = UnparsedPublicKey::new(algorithm, &*key.subject_public_key.data);
    key.verify(message, signature).map_err(|_| failure)
}
