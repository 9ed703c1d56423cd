//! The sealing key: 32 random bytes outside of the replicated state that open everything in it.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::SecureRandom;
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::SealError;
use crate::random_bytes;

/// Never used as it is: each use derives a key of its own.
#[derive(Debug)]
pub struct SealingKey(Secret);

/// What a derived key is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Id,
    WrapRoot,
    WrapBackup,
    Proof,
}

impl SealingKey {
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(random_bytes::<KEY_BYTES>(random)?);
        Ok(Self(Secret::new(bytes.to_vec())))
    }

    /// From what a seal or a file holds; `None` unless it has the length of a key.
    pub fn from_secret(bytes: Secret) -> Option<Self> {
        (bytes.expose().len() == KEY_BYTES).then_some(Self(bytes))
    }

    /// The key itself, for the seal that wraps it.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// A name for the key that can be shown: 16 hexadecimal digits that tell nothing about it.
    pub fn id(&self) -> Result<String, SealError> {
        let derived = self.derive(Purpose::Id)?;
        Ok(hex::encode(&derived.expose()[..ID_BYTES]))
    }

    /// Whether `text` has the form of one.
    pub fn is_id(text: &str) -> bool {
        text.len() == 2 * ID_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    pub(super) fn derive(&self, purpose: Purpose) -> Result<Secret, SealError> {
        let label = match purpose {
            Purpose::Id => "id",
            Purpose::WrapRoot => "wrap root key",
            Purpose::WrapBackup => "wrap backup key",
            Purpose::Proof => "prove possession",
        };
        let extracted = Salt::new(HKDF_SHA256, b"steeple sealing key v1").extract(self.0.expose());
        let info = [label.as_bytes()];
        let expanded = extracted.expand(&info, HKDF_SHA256).map_err(|_| SealError::Crypto)?;
        let mut derived = Zeroizing::new([0; KEY_BYTES]);
        expanded.fill(&mut *derived).map_err(|_| SealError::Crypto)?;
        Ok(Secret::new(derived.to_vec()))
    }
}

pub(super) const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
/// What a file of the key as it is begins with.
pub(super) const PREFIX: &str = "steeple-sealing-key-v1:";
