//! The public keys that may have signed a token, by trust domain and `kid`.

use std::collections::{BTreeMap, HashMap};

use jsonwebtoken::{Algorithm, DecodingKey};
use steeple_core::{Bundle, TrustDomain};

use crate::{PublicKey, PublicKeyKind};

/// Built once per change of the bundles and used for every validation.
#[derive(Default)]
pub struct JwtKeySet {
    domains: BTreeMap<TrustDomain, HashMap<String, JwtKey>>,
}

/// A key with the algorithms that it can be used with.
pub(super) struct JwtKey {
    pub(super) key: DecodingKey,
    pub(super) algorithms: &'static [Algorithm],
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
        let (decoding, algorithms): (_, &'static [Algorithm]) = match key.kind() {
            PublicKeyKind::EcP256 => (DecodingKey::from_ec_der(key.bits()), &[Algorithm::ES256]),
            PublicKeyKind::EcP384 => (DecodingKey::from_ec_der(key.bits()), &[Algorithm::ES384]),
            PublicKeyKind::Rsa { .. } => (DecodingKey::from_rsa_der(key.bits()), RSA_ALGORITHMS),
            PublicKeyKind::EcP521 | PublicKeyKind::Ed25519 => return None,
        };
        Some(Self { key: decoding, algorithms })
    }
}

const RSA_ALGORITHMS: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];
