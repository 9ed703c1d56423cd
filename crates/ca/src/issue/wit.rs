//! Signs WIT-SVIDs: tokens that name the public key of their holder (`cnf`, RFC 7800), over the claims that SPIRE
//! writes.

use std::time::Duration;

use serde::Serialize;
use steeple_core::{KeyType, SpiffeId, Timestamp};

use super::IssueError;
use super::jws::{JwsSigner, SignedToken};
use crate::jwks::Jwk;
use crate::{PublicKey, PublicKeyKind, SigningKey};

/// A WIT key ready to sign.
#[derive(Debug)]
pub struct WitIssuer {
    signer: JwsSigner,
    /// `wit_issuer`.
    issuer: Option<String>,
}

/// What a caller wants to have attested, after all checks.
#[derive(Clone, Debug)]
pub struct WitSvidRequest<'a> {
    pub spiffe_id: &'a SpiffeId,
    pub holder: &'a HolderKey,
    pub ttl: Duration,
}

/// The key that the holder of a WIT-SVID signs with, and how it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderKey {
    key: PublicKey,
    /// JWS `alg`.
    algorithm: String,
}

/// The texts are SPIRE's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HolderKeyError {
    #[error("unsupported signing algorithm for {key} key: {algorithm}")]
    Algorithm { key: &'static str, algorithm: String },
    #[error("unsupported key type 'ed25519.PublicKey'")]
    Ed25519,
}

/// In the order of the alphabet, as Go writes maps.
#[derive(Serialize)]
struct Claims<'a> {
    cnf: Confirmation,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    sub: &'a str,
}

#[derive(Serialize)]
struct Confirmation {
    jwk: Jwk,
}

impl WitIssuer {
    /// `key_id` becomes `kid`; no token outlives `not_after`.
    pub fn new(key: SigningKey, key_id: &str, not_after: Timestamp, issuer: Option<String>) -> Self {
        Self { signer: JwsSigner::new(key, key_id, "wit+jwt", not_after), issuer }
    }

    pub fn key_type(&self) -> KeyType {
        self.signer.key_type()
    }

    pub fn issue(&self, now: Timestamp, request: &WitSvidRequest<'_>) -> Result<SignedToken, IssueError> {
        let (issued_at, expires_at) = self.signer.lifetime(now, request.ttl)?;
        let HolderKey { key, algorithm } = request.holder;
        let token = self.signer.sign(&Claims {
            cnf: Confirmation { jwk: Jwk::of_holder(key, algorithm) },
            exp: expires_at.as_secs(),
            iat: issued_at.as_secs(),
            iss: self.issuer.as_deref(),
            sub: request.spiffe_id.as_str(),
        })?;
        Ok(SignedToken { spiffe_id: request.spiffe_id.clone(), token, issued_at, expires_at })
    }
}

impl HolderKey {
    /// Refuses an algorithm that `key` cannot sign with.
    pub fn new(key: PublicKey, algorithm: &str) -> Result<Self, HolderKeyError> {
        let (name, accepted): (_, &[&str]) = match key.kind() {
            PublicKeyKind::Rsa { .. } => ("RSA", &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
            PublicKeyKind::EcP256 => ("ec-p256", &["ES256"]),
            PublicKeyKind::EcP384 => ("ec-p384", &["ES384"]),
            PublicKeyKind::EcP521 => ("ec-p521", &["ES512"]),
            PublicKeyKind::Ed25519 => return Err(HolderKeyError::Ed25519),
        };
        let algorithm = algorithm.to_owned();
        if accepted.contains(&algorithm.as_str()) {
            Ok(Self { key, algorithm })
        } else {
            Err(HolderKeyError::Algorithm { key: name, algorithm })
        }
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// JWS `alg`.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn an_algorithm_that_the_key_cannot_sign_with_is_refused_in_spires_words() {
        let ec = SigningKey::generate(KeyType::EcP256).unwrap().public_key().clone();
        let rsa = SigningKey::generate(KeyType::Rsa2048).unwrap().public_key().clone();
        let ed25519 = PublicKey::from_ed25519(&[7; 32]).unwrap();
        assert_eq!(HolderKey::new(ec.clone(), "ES256").unwrap().algorithm(), "ES256");
        assert!(HolderKey::new(rsa.clone(), "PS512").is_ok());
        for (key, algorithm, refusal) in [
            (&ec, "RS256", "unsupported signing algorithm for ec-p256 key: RS256"),
            (&ec, "", "unsupported signing algorithm for ec-p256 key: "),
            (&rsa, "ES256", "unsupported signing algorithm for RSA key: ES256"),
            (&rsa, "none", "unsupported signing algorithm for RSA key: none"),
            (&ed25519, "EdDSA", "unsupported key type 'ed25519.PublicKey'"),
        ] {
            assert_eq!(HolderKey::new(key.clone(), algorithm).unwrap_err().to_string(), refusal);
        }
    }
}
