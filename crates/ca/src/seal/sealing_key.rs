//! The sealing key: 32 random bytes outside of the replicated state that open everything in it.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::SecureRandom;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::SealError;
use crate::random_bytes;

/// Never used as it is: each use derives a key of its own.
#[derive(Debug)]
pub struct SealingKey(Secret);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingKeyError {
    #[error("not a sealing key: expected one line that begins with \"{PREFIX}\"")]
    NotASealingKey,
    #[error("sealing key is damaged: expected {KEY_BYTES} bytes of base64 after \"{PREFIX}\"")]
    Damaged,
}

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

    /// Reads the content of a sealing key file. Blank lines and lines that begin with `#` are skipped.
    pub fn parse(file: &str) -> Result<Self, SealingKeyError> {
        let mut lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(SealingKeyError::NotASealingKey) };
        let encoded = line.strip_prefix(PREFIX).ok_or(SealingKeyError::NotASealingKey)?;
        let bytes = Secret::new(STANDARD.decode(encoded).map_err(|_| SealingKeyError::Damaged)?);
        if bytes.expose().len() == KEY_BYTES { Ok(Self(bytes)) } else { Err(SealingKeyError::Damaged) }
    }

    /// The content of a sealing key file.
    pub fn to_file(&self) -> Secret {
        let encoded = Zeroizing::new(STANDARD.encode(self.0.expose()));
        Secret::new([FILE_COMMENT, PREFIX, &encoded, "\n"].concat().into_bytes())
    }

    /// A name for the key that can be shown: 16 hexadecimal digits that tell nothing about it.
    pub fn id(&self) -> Result<String, SealError> {
        let derived = self.derive(Purpose::Id)?;
        Ok(hex::encode(&derived.expose()[..ID_BYTES]))
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
const PREFIX: &str = "steeple-sealing-key-v1:";
const FILE_COMMENT: &str = "\
# Opens the private keys of a Steeple cluster. Every server needs a copy; keep it secret, and apart from backups
# of the data directory, which are worthless without it.
";
