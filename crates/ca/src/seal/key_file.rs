//! The file of a sealing key: the key as it is, or as a seal wrapped it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::sealing_key::{self, KEY_BYTES};
use super::{SealError, SealingKey};

/// What the file of a sealing key holds.
#[derive(Debug)]
pub enum KeyFile {
    Plain(SealingKey),
    Wrapped(WrappedKey),
}

/// A sealing key that only the seal that wrapped it opens. Can be shown, as far as the seal is strong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The seal's, as in the configuration.
    pub kind: String,
    /// [`SealingKey::id`] of the key inside.
    pub key_id: String,
    pub ciphertext: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    #[error("not a sealing key: expected one line that begins with \"{}\" or \"{WRAPPED}\"", sealing_key::PREFIX)]
    NotASealingKey,
    #[error("sealing key is damaged: expected {KEY_BYTES} bytes of base64 after \"{}\"", sealing_key::PREFIX)]
    Damaged,
    #[error("wrapped sealing key is damaged: expected \"{WRAPPED}KIND:KEY ID:BASE64\"")]
    WrappedDamaged,
}

impl KeyFile {
    /// Blank lines and lines that begin with `#` are skipped.
    pub fn parse(file: &str) -> Result<Self, KeyFileError> {
        let mut lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(KeyFileError::NotASealingKey) };
        if let Some(encoded) = line.strip_prefix(sealing_key::PREFIX) {
            let bytes = Secret::new(STANDARD.decode(encoded).map_err(|_| KeyFileError::Damaged)?);
            return SealingKey::from_secret(bytes).map(Self::Plain).ok_or(KeyFileError::Damaged);
        }
        let wrapped = line.strip_prefix(WRAPPED).ok_or(KeyFileError::NotASealingKey)?;
        WrappedKey::parse(wrapped).map(Self::Wrapped).ok_or(KeyFileError::WrappedDamaged)
    }

    /// The content of the file.
    pub fn to_file(&self) -> Secret {
        match self {
            Self::Plain(key) => {
                let encoded = Zeroizing::new(STANDARD.encode(key.secret().expose()));
                Secret::new([PLAIN_COMMENT, sealing_key::PREFIX, &encoded, "\n"].concat().into_bytes())
            }
            Self::Wrapped(WrappedKey { kind, key_id, ciphertext }) => {
                let encoded = STANDARD.encode(ciphertext);
                Secret::new(format!("{WRAPPED_COMMENT}{WRAPPED}{kind}:{key_id}:{encoded}\n").into_bytes())
            }
        }
    }
}

impl WrappedKey {
    /// What the seal binds the ciphertext to. No part but the last one can hold the byte between them.
    pub fn associated(kind: &str, key_id: &str) -> Vec<u8> {
        [WRAPPED.as_bytes(), kind.as_bytes(), b"\0", key_id.as_bytes()].concat()
    }

    /// The key, if `opened` is what the file says it is.
    pub fn believe(&self, opened: Secret) -> Result<SealingKey, SealError> {
        let key = SealingKey::from_secret(opened).ok_or(SealError::Malformed("a sealing key has 32 bytes"))?;
        match key.id()? {
            id if id == self.key_id => Ok(key),
            actual => Err(SealError::AnotherKeyUnwrapped { expected: self.key_id.clone(), actual }),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ':');
        let (kind, key_id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let ciphertext = STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty())?;
        let named = is_name(kind) && is_name(key_id);
        named.then(|| Self { kind: kind.to_owned(), key_id: key_id.to_owned(), ciphertext })
    }
}

const WRAPPED: &str = "steeple-wrapped-sealing-key-v1:";
const PLAIN_COMMENT: &str = "\
# Opens the private keys of a Steeple cluster. Every server needs a copy; keep it secret, and apart from backups
# of the data directory, which are worthless without it.
";
const WRAPPED_COMMENT: &str = "\
# The wrapped sealing key of a Steeple cluster. Every server needs a copy, and the seal that opens it. Keep one with
# the backups: the seal alone restores none.
";
