//! The cipher of the file: AES-256-GCM with random nonces, `version ‖ nonce ‖ ciphertext ‖ tag`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use steeple_core::{Secret, TrustDomain};
use zeroize::Zeroizing;

/// Made from an agent's private key. The library wipes it when dropped.
pub struct Seal(RandomizedNonceKey);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the seal is broken: the file was altered, or belongs to another agent or trust domain")]
    Broken,
    #[error("it has version {0}, which a newer agent wrote")]
    UnknownVersion(u8),
    #[error("the cryptographic library failed")]
    Crypto,
}

impl Seal {
    /// `agent_key` is PKCS#8 DER.
    pub fn of(agent_key: &Secret) -> Result<Self, SealError> {
        let extracted = Salt::new(HKDF_SHA256, SALT).extract(agent_key.expose());
        let expanded = extracted.expand(&[b"seal"], HKDF_SHA256).map_err(|_| SealError::Crypto)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        expanded.fill(&mut *key).map_err(|_| SealError::Crypto)?;
        RandomizedNonceKey::new(&AES_256_GCM, &*key).map(Self).map_err(|_| SealError::Crypto)
    }

    pub fn seal(&self, trust_domain: &TrustDomain, plain: &Secret) -> Result<Vec<u8>, SealError> {
        // Reserved up front, so that growing for the tag leaves no copy of a key behind.
        let mut in_out = Zeroizing::new(Vec::with_capacity(plain.expose().len() + TAG_BYTES));
        in_out.extend_from_slice(plain.expose());
        let nonce = self.0.seal_in_place_append_tag(associated(trust_domain), &mut *in_out);
        let nonce = nonce.map_err(|_| SealError::Crypto)?;
        Ok([&[VERSION], nonce.as_ref().as_slice(), &in_out].concat())
    }

    pub fn open(&self, trust_domain: &TrustDomain, sealed: &[u8]) -> Result<Secret, SealError> {
        let (version, rest) = sealed.split_first().ok_or(SealError::Broken)?;
        if *version != VERSION {
            return Err(SealError::UnknownVersion(*version));
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
        let mut in_out = Zeroizing::new(ciphertext.to_vec());
        let plain = self.0.open_in_place(nonce, associated(trust_domain), &mut in_out);
        Ok(Secret::new(plain.map_err(|_| SealError::Broken)?.to_vec()))
    }
}

fn associated(trust_domain: &TrustDomain) -> Aad<Vec<u8>> {
    Aad::from([SALT, &[VERSION], trust_domain.name().as_bytes()].concat())
}

const SALT: &[u8] = b"steeple agent svids v1";
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_the_same_key_in_the_same_trust_domain_and_unaltered() {
        let (key, other) = (Secret::new(b"one key".to_vec()), Secret::new(b"another".to_vec()));
        let (here, elsewhere) = (TrustDomain::parse("here").unwrap(), TrustDomain::parse("elsewhere").unwrap());
        let seal = Seal::of(&key).unwrap();
        let sealed = seal.seal(&here, &Secret::new(b"canary".to_vec())).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        let open = |key: &Secret, domain: &TrustDomain, sealed: &[u8]| {
            Seal::of(key).unwrap().open(domain, sealed).map(|plain| plain.expose().to_vec())
        };
        assert_eq!(open(&key, &here, &sealed).as_deref(), Ok(&b"canary"[..]));
        assert_eq!(open(&other, &here, &sealed), Err(SealError::Broken));
        assert_eq!(open(&key, &elsewhere, &sealed), Err(SealError::Broken));
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&key, &here, &altered).is_err(), "byte {at}");
            assert!(open(&key, &here, &sealed[..at]).is_err(), "{at} bytes");
        }
    }
}
