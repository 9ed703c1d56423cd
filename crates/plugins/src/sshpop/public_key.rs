//! Public keys and the signatures that they verify (RFC 4253, 5656, 8332, 8709).

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, RsaParameters, UnparsedPublicKey, VerificationAlgorithm};

use super::reader::{Reader, ShortRead};
use super::wire::Signature;
use crate::ecdsa::der_signature;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Ecdsa { curve: Curve, point: Vec<u8> },
    Ed25519 { point: Vec<u8> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error(transparent)]
    Short(#[from] ShortRead),
    #[error("ssh: unknown key algorithm: {0}")]
    Unknown(String),
    #[error("ssh: RSA keys have 1024 to 8192 bits")]
    RsaSize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("ssh: signature type {format} for key type {key}")]
    Format { format: String, key: &'static str },
    #[error("ssh: signature did not verify")]
    Verify,
}

impl PublicKey {
    /// A whole key with its algorithm before it.
    pub(super) fn parse(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader(blob);
        let algorithm = reader.text()?;
        let key = Self::read(algorithm, &mut reader)?;
        reader.end()?;
        Ok(key)
    }

    /// The fields that follow the algorithm.
    pub(super) fn read(algorithm: &str, reader: &mut Reader<'_>) -> Result<Self, KeyError> {
        let key = match algorithm {
            "ssh-rsa" => {
                let e = reader.positive()?.to_vec();
                let n = reader.positive()?.to_vec();
                // Larger ones cost CPU before anything is proven.
                if !RSA_BYTES.contains(&n.len()) || e.len() > RSA_EXPONENT_BYTES_MAX {
                    return Err(KeyError::RsaSize);
                }
                Self::Rsa { n, e }
            }
            "ssh-ed25519" => Self::Ed25519 { point: reader.string()?.to_vec() },
            _ => {
                let unknown = || KeyError::Unknown(algorithm.to_owned());
                let curve = Curve::of_algorithm(algorithm).ok_or_else(unknown)?;
                if reader.text()? != curve.name() {
                    return Err(unknown());
                }
                Self::Ecdsa { curve, point: reader.string()?.to_vec() }
            }
        };
        Ok(key)
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "ssh-rsa",
            Self::Ecdsa { curve, .. } => curve.algorithm(),
            Self::Ed25519 { .. } => "ssh-ed25519",
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let (format, blob) = (signature.format.as_str(), signature.blob.0.as_slice());
        let wrong_format = || SignatureError::Format { format: format.to_owned(), key: self.algorithm() };
        let is_good = match self {
            Self::Rsa { n, e } => is_rsa_signature(n, e, rsa_scheme(format).ok_or_else(wrong_format)?, message, blob),
            _ if format != self.algorithm() => return Err(wrong_format()),
            Self::Ecdsa { curve, point } => {
                integers(blob).is_some_and(|der| is_signature(curve.scheme(), point, message, &der))
            }
            Self::Ed25519 { point } => is_signature(&signature::ED25519, point, message, blob),
        };
        if is_good { Ok(()) } else { Err(SignatureError::Verify) }
    }
}

fn is_signature(scheme: &'static dyn VerificationAlgorithm, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(scheme, point).verify(message, signature).is_ok()
}

fn is_rsa_signature(n: &[u8], e: &[u8], scheme: &RsaParameters, message: &[u8], blob: &[u8]) -> bool {
    // Some signers leave zeros at the front away.
    let Some(missing) = n.len().checked_sub(blob.len()) else { return false };
    let blob = [vec![0; missing].as_slice(), blob].concat();
    PublicKeyComponents { n, e }.verify(scheme, message, &blob).is_ok()
}

fn rsa_scheme(format: &str) -> Option<&'static RsaParameters> {
    match format {
        // What SPIRE's agents send. Sound for a proof of possession: nobody chooses the whole message.
        "ssh-rsa" => Some(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        "rsa-sha2-256" => Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        "rsa-sha2-512" => Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        _ => None,
    }
}

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    pub(super) fn of_algorithm(algorithm: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.algorithm() == algorithm)
    }

    pub(super) fn algorithm(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-sha2-nistp256",
            Self::P384 => "ecdsa-sha2-nistp384",
            Self::P521 => "ecdsa-sha2-nistp521",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    fn scheme(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::P384 => &signature::ECDSA_P384_SHA384_ASN1,
            Self::P521 => &signature::ECDSA_P521_SHA512_ASN1,
        }
    }
}

/// An ECDSA signature, which SSH writes as two integers, in DER.
fn integers(blob: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(blob);
    let (r, s) = (reader.positive().ok()?, reader.positive().ok()?);
    reader.end().ok()?;
    der_signature(r, s)
}

/// 1024 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 128..=1024;
/// As in Go.
const RSA_EXPONENT_BYTES_MAX: usize = 3;
