//! The header of a token that somebody else made (RFC 7515, section 4).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::validate::{JwtError, quoted};
use crate::certificate;
use crate::jwks::Jwk;

/// What a token may be signed with, as SPIRE's agents accept it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    Library(Algorithm),
    /// Of which the library knows nothing.
    Es512,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: SignatureAlgorithm,
    /// Empty without one.
    pub(super) key_id: String,
    /// The token asks for nothing that we do not know; otherwise it must be refused (RFC 7515, section 4.1.11).
    pub(super) is_understood: bool,
}

/// The members that are looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Members {
    alg: String,
    kid: Option<String>,
    crit: Option<Vec<String>>,
    b64: Option<bool>,
    jwk: Option<Value>,
    x5c: Option<Vec<String>>,
}

impl SignatureAlgorithm {
    fn named(name: &str) -> Option<Self> {
        ALLOWED.iter().find(|(allowed, _)| *allowed == name).map(|(_, algorithm)| *algorithm)
    }
}

impl Header {
    /// `encoded` is the token's first part.
    pub(super) fn read(encoded: &str) -> Result<Self, JwtError> {
        let malformed = |why: &str| JwtError::Parse(format!("header {why}"));
        let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| malformed("is not unpadded base64url"))?;
        let members = match json.as_slice() {
            [] => Members::default(),
            json => serde_json::from_slice(json).map_err(|error| malformed(&format!("is not valid: {error}")))?,
        };
        let Members { alg, kid, crit, b64, jwk, x5c } = members;
        let algorithm = SignatureAlgorithm::named(&alg).ok_or_else(|| {
            let expected: Vec<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
            JwtError::Parse(format!("unexpected signature algorithm {alg:?}; expected {}", quoted(&expected)))
        })?;
        // Neither is used. A sender that writes them wrongly is refused all the same (SPIRE behaviour).
        if jwk.is_some_and(|jwk| !is_public_key(jwk)) {
            return Err(JwtError::Parse("go-jose/go-jose: invalid embedded jwk, must be public key".to_owned()));
        }
        if x5c.is_some_and(|chain| !chain.iter().all(|encoded| is_certificate(encoded))) {
            return Err(malformed("has an x5c that is no list of certificates"));
        }
        let is_known = |name: &String| name == "b64";
        // A payload that is not encoded (RFC 7797) is none of a JWT (section 7 there).
        let is_understood = crit.is_none_or(|names| names.iter().all(is_known)) && b64 != Some(false);
        Ok(Self { algorithm, key_id: kid.unwrap_or_default(), is_understood })
    }
}

fn is_public_key(jwk: Value) -> bool {
    let has_private_part = jwk.get("d").is_some();
    !has_private_part && serde_json::from_value::<Jwk>(jwk).is_ok_and(|jwk| jwk.public_key().is_ok())
}

fn is_certificate(encoded: &str) -> bool {
    STANDARD.decode(encoded).is_ok_and(|der| certificate::facts(&der).is_some())
}

/// In SPIRE's order, which stands in its refusals.
const ALLOWED: [(&str, SignatureAlgorithm); 9] = [
    ("ES256", SignatureAlgorithm::Library(Algorithm::ES256)),
    ("ES384", SignatureAlgorithm::Library(Algorithm::ES384)),
    ("ES512", SignatureAlgorithm::Es512),
    ("RS256", SignatureAlgorithm::Library(Algorithm::RS256)),
    ("RS384", SignatureAlgorithm::Library(Algorithm::RS384)),
    ("RS512", SignatureAlgorithm::Library(Algorithm::RS512)),
    ("PS256", SignatureAlgorithm::Library(Algorithm::PS256)),
    ("PS384", SignatureAlgorithm::Library(Algorithm::PS384)),
    ("PS512", SignatureAlgorithm::Library(Algorithm::PS512)),
];
