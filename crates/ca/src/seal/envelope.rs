//! AES-256-GCM with random nonces: `version ‖ nonce ‖ ciphertext ‖ tag`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::{Binding, SealError};

/// A key that makes and opens envelopes. The library wipes it when dropped.
pub(super) struct EnvelopeKey(RandomizedNonceKey);

impl EnvelopeKey {
    pub(super) fn new(bytes: &Secret) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes.expose()).map(Self).map_err(|_| SealError::Crypto)
    }

    pub(super) fn seal(&self, binding: Binding<'_>, term: u64, secret: &Secret) -> Result<Vec<u8>, SealError> {
        self.seal_bytes(&binding.to_bytes(term), secret)
    }

    pub(super) fn open(&self, binding: Binding<'_>, term: u64, envelope: &[u8]) -> Result<Secret, SealError> {
        self.open_bytes(&binding.to_bytes(term), binding.record.name(), envelope)
    }

    /// For what has a place outside of every cluster.
    pub(super) fn seal_bytes(&self, associated: &[u8], secret: &Secret) -> Result<Vec<u8>, SealError> {
        // Reserved up front, so that growing for the tag leaves no copy of the plaintext behind.
        let mut in_out = Zeroizing::new(Vec::with_capacity(secret.expose().len() + TAG_BYTES));
        in_out.extend_from_slice(secret.expose());
        let sealed = self.0.seal_in_place_append_tag(Aad::from(associated), &mut *in_out);
        let nonce = sealed.map_err(|_| SealError::Crypto)?;
        let mut envelope = Vec::with_capacity(1 + NONCE_LEN + in_out.len());
        envelope.push(VERSION);
        envelope.extend_from_slice(nonce.as_ref());
        envelope.extend_from_slice(&in_out);
        Ok(envelope)
    }

    /// `what` is named when it does not open.
    pub(super) fn open_bytes(
        &self,
        associated: &[u8],
        what: &'static str,
        envelope: &[u8],
    ) -> Result<Secret, SealError> {
        if envelope.len() > ENVELOPE_BYTES_MAX {
            return Err(SealError::Malformed("envelope is too large"));
        }
        let (version, rest) = envelope.split_first().ok_or(SealError::Malformed("empty envelope"))?;
        if *version != VERSION {
            return Err(SealError::UnknownVersion(*version));
        }
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Malformed("short envelope"))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed("short nonce"))?;
        let mut in_out = Zeroizing::new(ciphertext.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(associated), &mut in_out);
        let plaintext = opened.map_err(|_| SealError::Altered { what })?;
        Ok(Secret::new(plaintext.to_vec()))
    }
}

pub(super) const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
/// An RSA-4096 key in PKCS#8 has 2.4 KiB.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;
