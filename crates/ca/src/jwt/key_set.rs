//! The public keys that may have signed a token, by trust domain and `kid`.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use steeple_core::{Bundle, TrustDomain};

use super::header::SignatureAlgorithm;
use crate::{PublicKey, PublicKeyKind};

/// Built once per change of the bundles and used for every validation.
#[derive(Default)]
pub struct JwtKeySet {
    domains: BTreeMap<TrustDomain, HashMap<String, JwtKey>>,
}

/// A key with the algorithms that it can be used with.
pub(super) enum JwtKey {
    Library {
        key: DecodingKey,
        algorithms: &'static [Algorithm],
    },
    /// A point, of which the library knows nothing.
    EcP521(Vec<u8>),
}

impl JwtKeySet {
    /// Takes the JWT authorities of `bundles`. Keys that no accepted algorithm can use are left out.
    pub fn from_bundles<'a>(bundles: impl IntoIterator<Item = &'a Bundle>) -> Self {
        let mut set = Self::default();
        for bundle in bundles {
            let keys = set.domains.entry(bundle.trust_domain.clone()).or_default();
            for authority in &bundle.jwt_authorities {
                if let Some(key) = PublicKey::from_spki(&authority.public_key).ok().and_then(|key| JwtKey::new(&key)) {
                    keys.insert(authority.key_id.clone(), key);
                }
            }
        }
        set
    }

    pub(super) fn domain(&self, trust_domain: &TrustDomain) -> Option<&HashMap<String, JwtKey>> {
        self.domains.get(trust_domain)
    }
}

impl JwtKey {
    fn new(key: &PublicKey) -> Option<Self> {
        let (key, algorithms): (_, &'static [Algorithm]) = match key.kind() {
            PublicKeyKind::EcP256 => (DecodingKey::from_ec_der(key.bits()), &[Algorithm::ES256]),
            PublicKeyKind::EcP384 => (DecodingKey::from_ec_der(key.bits()), &[Algorithm::ES384]),
            PublicKeyKind::Rsa { .. } => (DecodingKey::from_rsa_der(key.bits()), RSA_ALGORITHMS),
            PublicKeyKind::EcP521 => return Some(Self::EcP521(key.bits().to_vec())),
            PublicKeyKind::Ed25519 => return None,
        };
        Some(Self::Library { key, algorithms })
    }

    /// Whether it made `signature`, base64url, over `message` with `algorithm`.
    pub(super) fn signed(&self, algorithm: SignatureAlgorithm, message: &str, signature: &str) -> bool {
        match (self, algorithm) {
            (Self::Library { key, algorithms }, SignatureAlgorithm::Library(algorithm)) => {
                let verify = || jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm);
                algorithms.contains(&algorithm) && verify().unwrap_or(false)
            }
            (Self::EcP521(point), SignatureAlgorithm::Es512) => {
                let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point);
                let signature = URL_SAFE_NO_PAD.decode(signature);
                signature.is_ok_and(|signature| key.verify(message.as_bytes(), &signature).is_ok())
            }
            _ => false,
        }
    }
}

const RSA_ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
