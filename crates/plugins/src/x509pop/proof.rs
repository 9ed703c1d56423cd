//! Making and checking the signature over both nonces.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaPssSaltLength, UnparsedPublicKey};
use steeple_core::Secret;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::wire::{EcdsaProof, RsaProof};
use crate::ecdsa::{der_signature, minimal};
use crate::json::Bytes;

/// Bytes in a nonce, on both sides.
pub(super) const NONCE_BYTES: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProofError {
    #[error("invalid challenge nonce")]
    ChallengeNonce,
    #[error("invalid response nonce")]
    ResponseNonce,
    #[error("ECDSA signature verify failed")]
    Ecdsa,
    #[error("RSA signature verify failed")]
    Rsa,
    #[error("unsupported public key type")]
    UnsupportedKey,
    #[error("signing failed")]
    Signing,
}

/// The private key of the certificate, by what it can sign.
pub(super) enum ProofKey {
    P256(EcdsaKeyPair),
    P384(p384::ecdsa::SigningKey),
    P521(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

impl ProofKey {
    /// `pkcs8` is DER. PKCS#1 and SEC1 keys are accepted too, as Go's `tls.X509KeyPair` does.
    pub(super) fn from_der(der: &Secret) -> Option<Self> {
        use p384::pkcs8::DecodePrivateKey as _;
        let der = der.expose();
        let ecdsa = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, der)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, der))
                .ok()
        };
        if let Some(key) = ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Some(Self::P256(key));
        }
        if let Ok(key) = p384::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Some(Self::P384(key));
        }
        if let Some(key) = ecdsa(&signature::ECDSA_P521_SHA256_FIXED_SIGNING) {
            return Some(Self::P521(key));
        }
        rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der)).ok().map(Self::Rsa)
    }

    pub(super) fn prove_ecdsa(&self, challenge: &[u8], nonce: &[u8]) -> Result<EcdsaProof, ProofError> {
        let message = both(challenge, nonce)?;
        let fixed = match self {
            Self::P256(key) | Self::P521(key) => {
                key.sign(&SystemRandom::new(), &message).map_err(|_| ProofError::Signing)?.as_ref().to_vec()
            }
            Self::P384(key) => {
                use p384::ecdsa::signature::hazmat::PrehashSigner as _;
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &message);
                let proof: p384::ecdsa::Signature =
                    key.sign_prehash(digest.as_ref()).map_err(|_| ProofError::Signing)?;
                proof.to_bytes().to_vec()
            }
            Self::Rsa(_) => return Err(ProofError::UnsupportedKey),
        };
        let (r, s) = fixed.split_at(fixed.len() / 2);
        Ok(EcdsaProof { nonce: Bytes(nonce.to_vec()), r: Bytes(minimal(r).to_vec()), s: Bytes(minimal(s).to_vec()) })
    }

    pub(super) fn prove_rsa(&self, challenge: &[u8], nonce: &[u8]) -> Result<RsaProof, ProofError> {
        let Self::Rsa(key) = self else { return Err(ProofError::UnsupportedKey) };
        let message = both(challenge, nonce)?;
        let mut proof = vec![0; key.public_modulus_len()];
        key.sign(&signature::RSA_PSS_SHA256, &SystemRandom::new(), &message, &mut proof)
            .map_err(|_| ProofError::Signing)?;
        Ok(RsaProof { nonce: Bytes(nonce.to_vec()), signature: Bytes(proof) })
    }

    /// The public half: SEC1 point for EC, PKCS#1 for RSA.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        match self {
            Self::P256(key) | Self::P521(key) => key.public_key().as_ref().to_vec(),
            Self::P384(key) => key.verifying_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
        }
    }

    pub(super) fn is_rsa(&self) -> bool {
        matches!(self, Self::Rsa(_))
    }
}

pub(super) fn verify_ecdsa(
    key: &SubjectPublicKeyInfo<'_>,
    challenge: &[u8],
    proof: &EcdsaProof,
) -> Result<(), ProofError> {
    let message = both(challenge, &proof.nonce.0)?;
    let Ok(PublicKey::EC(point)) = key.parsed() else { return Err(ProofError::UnsupportedKey) };
    let algorithm = match point.key_size() {
        // x509-parser takes the size from the point's length: P-521's 66-byte coordinates count as 528.
        256 => &signature::ECDSA_P256_SHA256_ASN1,
        384 => &signature::ECDSA_P384_SHA256_ASN1,
        521 | 528 => &signature::ECDSA_P521_SHA256_ASN1,
        _ => return Err(ProofError::UnsupportedKey),
    };
    let der = der_signature(&proof.r.0, &proof.s.0).ok_or(ProofError::Ecdsa)?;
    UnparsedPublicKey::new(algorithm, point.data()).verify(&message, &der).map_err(|_| ProofError::Ecdsa)
}

pub(super) fn verify_rsa(key: &SubjectPublicKeyInfo<'_>, challenge: &[u8], proof: &RsaProof) -> Result<(), ProofError> {
    let message = both(challenge, &proof.nonce.0)?;
    let pkcs1: &[u8] = &key.subject_public_key.data;
    // Go signs with the longest salt that fits and accepts any; ours is as long as the digest.
    let max = const { &signature::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max) };
    let digest = &signature::RSA_PSS_2048_8192_SHA256;
    let verify = |algorithm| UnparsedPublicKey::new(algorithm, pkcs1).verify(&message, &proof.signature.0);
    verify(max).or_else(|_| verify(digest)).map_err(|_| ProofError::Rsa)
}

/// What both sides sign: aws-lc hashes it with SHA-256.
fn both(challenge: &[u8], response: &[u8]) -> Result<Vec<u8>, ProofError> {
    if challenge.len() != NONCE_BYTES {
        return Err(ProofError::ChallengeNonce);
    }
    if response.len() != NONCE_BYTES {
        return Err(ProofError::ResponseNonce);
    }
    Ok([challenge, response].concat())
}
