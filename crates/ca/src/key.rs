//! Private keys that sign: made, kept as PKCS#8, and held ready so that no signature pays for parsing.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use steeple_core::plugin::{KeyElsewhere, PrivateKey, RsaPadding};
use steeple_core::{KeyType, Secret};

use crate::{PublicKey, PublicKeyKind};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("could not generate a {} key", .0.name())]
    Generate(KeyType),
    #[error("private key is not DER of an accepted kind: use EC P-256, EC P-384, RSA 2048 or RSA 4096")]
    Load,
    #[error("could not sign")]
    Sign,
    #[error("could not sign: {0}")]
    Elsewhere(String),
}

/// A private key, ready to sign certificates and tokens.
pub struct SigningKey {
    key_type: KeyType,
    signer: Signer,
    public: PublicKey,
}

enum Signer {
    /// Certificates carry ECDSA signatures as DER, tokens as fixed-size `r ‖ s` (RFC 7518, section 3.4).
    Ecdsa {
        der: EcdsaKeyPair,
        fixed: EcdsaKeyPair,
    },
    Rsa(Box<RsaKeyPair>),
    /// Certificates and requests alone.
    Elsewhere(Arc<dyn KeyElsewhere>),
}

/// Makes a private key from the system's random source. RSA takes up to a second.
pub fn generate_pkcs8(key_type: KeyType) -> Result<Secret, KeyError> {
    let failed = |_| KeyError::Generate(key_type);
    let ecdsa = |algorithm| {
        let pair = EcdsaKeyPair::generate(algorithm).map_err(failed)?;
        pair.to_pkcs8v1().map_err(failed).map(|document| Secret::new(document.as_ref().to_vec()))
    };
    let rsa = |size| {
        let pair = RsaKeyPair::generate(size).map_err(failed)?;
        let document: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        Ok(Secret::new(document.as_ref().to_vec()))
    };
    match key_type {
        KeyType::EcP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyType::EcP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyType::Rsa2048 => rsa(KeySize::Rsa2048),
        KeyType::Rsa4096 => rsa(KeySize::Rsa4096),
    }
}

impl SigningKey {
    pub fn generate(key_type: KeyType) -> Result<Self, KeyError> {
        Self::from_pkcs8(&generate_pkcs8(key_type)?)
    }

    /// The kind of key is found by trying.
    pub fn from_pkcs8(pkcs8: &Secret) -> Result<Self, KeyError> {
        Self::load(pkcs8, EcdsaKeyPair::from_pkcs8, RsaKeyPair::from_pkcs8)
    }

    /// Wherever it is kept.
    pub fn of(key: &PrivateKey) -> Result<Self, KeyError> {
        match key {
            PrivateKey::Here(pkcs8) => Self::from_pkcs8(pkcs8),
            PrivateKey::Elsewhere(key) => {
                let public = PublicKey::from_spki(key.public_key()).map_err(|_| KeyError::Load)?;
                Ok(Self { key_type: key.kind(), signer: Signer::Elsewhere(Arc::clone(key)), public })
            }
        }
    }

    /// As other programs write keys: PKCS#8, and the older forms of SEC 1 (`EC PRIVATE KEY`) and PKCS#1
    /// (`RSA PRIVATE KEY`).
    pub fn from_der(der: &Secret) -> Result<Self, KeyError> {
        Self::from_pkcs8(der).or_else(|_| Self::load(der, EcdsaKeyPair::from_private_key_der, RsaKeyPair::from_der))
    }

    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs as certificates and certificate requests want it: ECDSA in DER, RSA with PKCS#1 v1.5.
    pub fn sign_x509(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.signer {
            Signer::Ecdsa { der, .. } => sign_ecdsa(der, message),
            Signer::Rsa(pair) => sign_rsa(pair, message),
            Signer::Elsewhere(key) => {
                key.sign(message, RsaPadding::Pkcs1).map_err(|error| KeyError::Elsewhere(error.to_string()))
            }
        }
    }

    /// Signs as tokens want it: ES256, ES384 or RS256.
    pub fn sign_jws(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.signer {
            Signer::Ecdsa { fixed, .. } => sign_ecdsa(fixed, message),
            Signer::Rsa(pair) => sign_rsa(pair, message),
            // Agents sign no tokens.
            Signer::Elsewhere(_) => Err(KeyError::Sign),
        }
    }

    /// The `alg` of [`Self::sign_jws`] (RFC 7518, section 3.1).
    pub fn jws_algorithm(&self) -> &'static str {
        match self.key_type {
            KeyType::EcP256 => "ES256",
            KeyType::EcP384 => "ES384",
            KeyType::Rsa2048 | KeyType::Rsa4096 => "RS256",
        }
    }

    fn load(der: &Secret, ecdsa: ReadEcdsa, rsa: ReadRsa) -> Result<Self, KeyError> {
        Self::ecdsa(KeyType::EcP256, der, ecdsa, &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_FIXED_SIGNING)
            .or_else(|_| {
                let (asn1, fixed) = (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_FIXED_SIGNING);
                Self::ecdsa(KeyType::EcP384, der, ecdsa, asn1, fixed)
            })
            .or_else(|_| Self::rsa(der, rsa))
    }

    fn ecdsa(
        key_type: KeyType,
        key: &Secret,
        read: ReadEcdsa,
        der: &'static EcdsaSigningAlgorithm,
        fixed: &'static EcdsaSigningAlgorithm,
    ) -> Result<Self, KeyError> {
        let der = read(der, key.expose()).map_err(|_| KeyError::Load)?;
        let fixed = read(fixed, key.expose()).map_err(|_| KeyError::Load)?;
        let spki: PublicKeyX509Der<'_> = der.public_key().as_der().map_err(|_| KeyError::Load)?;
        let public = PublicKey::from_spki(spki.as_ref()).map_err(|_| KeyError::Load)?;
        Ok(Self { key_type, signer: Signer::Ecdsa { der, fixed }, public })
    }

    fn rsa(key: &Secret, read: ReadRsa) -> Result<Self, KeyError> {
        let pair = read(key.expose()).map_err(|_| KeyError::Load)?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Load)?;
        let public = PublicKey::from_spki(spki.as_ref()).map_err(|_| KeyError::Load)?;
        let key_type = match public.kind() {
            PublicKeyKind::Rsa { bits: 2048 } => KeyType::Rsa2048,
            PublicKeyKind::Rsa { bits: 4096 } => KeyType::Rsa4096,
            _ => return Err(KeyError::Load),
        };
        Ok(Self { key_type, signer: Signer::Rsa(Box::new(pair)), public })
    }
}

type ReadEcdsa = fn(&'static EcdsaSigningAlgorithm, &[u8]) -> Result<EcdsaKeyPair, KeyRejected>;
type ReadRsa = fn(&[u8]) -> Result<RsaKeyPair, KeyRejected>;

fn sign_ecdsa(pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec()).map_err(|_| KeyError::Sign)
}

fn sign_rsa(pair: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| KeyError::Sign)?;
    Ok(signature)
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, {})", self.key_type.name(), self.public.key_id_hex())
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_survives_pkcs8_and_signs() {
        let pkcs8 = generate_pkcs8(KeyType::EcP384).unwrap();
        let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
        assert_eq!((key.key_type(), key.jws_algorithm()), (KeyType::EcP384, "ES384"));
        let verifier = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, key.public_key().bits());
        verifier.verify(b"m", &key.sign_x509(b"m").unwrap()).unwrap();
        assert_eq!(key.sign_jws(b"m").unwrap().len(), 96);

        let key = SigningKey::generate(KeyType::Rsa2048).unwrap();
        assert_eq!((key.key_type(), key.jws_algorithm()), (KeyType::Rsa2048, "RS256"));
        let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().bits());
        verifier.verify(b"m", &key.sign_jws(b"m").unwrap()).unwrap();
    }

    #[test]
    fn garbage_is_not_a_key_and_debug_shows_no_secret() {
        assert_eq!(SigningKey::from_pkcs8(&Secret::new(b"garbage".to_vec())).unwrap_err(), KeyError::Load);
        let key = SigningKey::generate(KeyType::EcP256).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey(ec-p256, {})", key.public_key().key_id_hex()));
    }
}
