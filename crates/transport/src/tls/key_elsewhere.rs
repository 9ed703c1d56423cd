//! A private key that signs handshakes where it is kept.

use std::fmt;
use std::sync::Arc;

use rustls::sign::{Signer, SigningKey};
use rustls::{Error, OtherError, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use steeple_core::KeyType;
use steeple_core::plugin::{KeyElsewhere, RsaPadding};

/// As rustls asks for it.
#[derive(Clone)]
pub(super) struct ElsewhereKey(pub Arc<dyn KeyElsewhere>);

/// For one handshake.
#[derive(Clone, Debug)]
struct ElsewhereSigner {
    key: ElsewhereKey,
    scheme: SignatureScheme,
}

impl ElsewhereKey {
    /// The best first. RSA with PKCS#1 is of TLS 1.2 alone (RFC 8446, section 4.2.3).
    fn schemes(&self) -> &'static [SignatureScheme] {
        match self.0.kind() {
            KeyType::EcP256 => &[SignatureScheme::ECDSA_NISTP256_SHA256],
            KeyType::EcP384 => &[SignatureScheme::ECDSA_NISTP384_SHA384],
            KeyType::Rsa2048 | KeyType::Rsa4096 => {
                &[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]
            }
        }
    }
}

impl SigningKey for ElsewhereKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.schemes().iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(ElsewhereSigner { key: self.clone(), scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.public_key()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.kind() {
            KeyType::EcP256 | KeyType::EcP384 => SignatureAlgorithm::ECDSA,
            KeyType::Rsa2048 | KeyType::Rsa4096 => SignatureAlgorithm::RSA,
        }
    }
}

impl Signer for ElsewhereSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let padding = match self.scheme {
            SignatureScheme::RSA_PSS_SHA256 => RsaPadding::Pss,
            _ => RsaPadding::Pkcs1,
        };
        self.key.0.sign(message, padding).map_err(|error| Error::Other(OtherError(Arc::new(error))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for ElsewhereKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ElsewhereKey")
    }
}

#[cfg(test)]
mod tests {
    use steeple_core::plugin::KeyError;

    use super::*;

    struct Key(KeyType);

    impl KeyElsewhere for Key {
        fn kind(&self) -> KeyType {
            self.0
        }

        fn public_key(&self) -> &[u8] {
            &[]
        }

        fn sign(&self, _: &[u8], padding: RsaPadding) -> Result<Vec<u8>, KeyError> {
            Err(KeyError(format!("{padding:?}")))
        }
    }

    #[test]
    fn rsa_is_padded_as_the_version_wants_it() {
        use SignatureScheme as S;
        let signed = |kind, offered: &[SignatureScheme]| {
            let signer = ElsewhereKey(Arc::new(Key(kind))).choose_scheme(offered)?;
            Some((signer.scheme(), signer.sign(b"m").unwrap_err().to_string()))
        };
        let version_1_3 = [S::ECDSA_NISTP256_SHA256, S::RSA_PSS_SHA256];
        let version_1_2 = [S::RSA_PKCS1_SHA256, S::RSA_PSS_SHA256];
        for offered in [version_1_3, version_1_2] {
            let (scheme, padding) = signed(KeyType::Rsa2048, &offered).unwrap();
            assert_eq!((scheme, padding.contains("Pss")), (S::RSA_PSS_SHA256, true), "{padding}");
        }
        let (scheme, padding) = signed(KeyType::Rsa4096, &[S::RSA_PKCS1_SHA256]).unwrap();
        assert_eq!((scheme, padding.contains("Pkcs1")), (S::RSA_PKCS1_SHA256, true), "{padding}");
        assert_eq!(signed(KeyType::EcP256, &version_1_3).unwrap().0, S::ECDSA_NISTP256_SHA256);
        assert_eq!(signed(KeyType::EcP384, &version_1_3), None);
    }
}
