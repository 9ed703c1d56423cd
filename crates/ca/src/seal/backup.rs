//! The cipher of one backup: a key of its own, wrapped by the sealing key, so that a backup opens without the cluster
//! that wrote it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::SecureRandom;
use steeple_core::Secret;
use zeroize::Zeroizing;

use super::envelope::EnvelopeKey;
use super::sealing_key::{KEY_BYTES, Purpose};
use super::{Binding, ClusterUuid, RecordType, SealError, SealingKey};
use crate::random_bytes;

/// Which backup a cipher belongs to.
#[derive(Clone, Copy, Debug)]
pub struct BackupName<'a> {
    pub cluster: &'a ClusterUuid,
    /// Random, one for each backup.
    pub id: &'a str,
}

/// Seals and opens the chunks of one backup. The key never serves a second backup, so the chunk's number is its nonce.
pub struct BackupCipher(LessSafeKey);

impl BackupCipher {
    /// A cipher with a new key, and that key wrapped.
    pub fn create(
        sealing_key: &SealingKey,
        name: BackupName<'_>,
        random: &dyn SecureRandom,
    ) -> Result<(Self, Vec<u8>), SealError> {
        let bytes = Zeroizing::new(random_bytes::<KEY_BYTES>(random)?);
        let key = Secret::new(bytes.to_vec());
        let wrapped = wrapping_key(sealing_key)?.seal(binding(name), KEY_TERM, &key)?;
        Ok((Self::of(&key)?, wrapped))
    }

    /// A key that does not open it was altered, or was wrapped for another backup; the caller has compared
    /// [`SealingKey::id`] before.
    pub fn open(sealing_key: &SealingKey, name: BackupName<'_>, wrapped: &[u8]) -> Result<Self, SealError> {
        Self::of(&wrapping_key(sealing_key)?.open(binding(name), KEY_TERM, wrapped)?)
    }

    /// Encrypts in place and appends the tag. `associated` is bound to it without being hidden.
    pub fn seal_chunk(&self, number: u64, associated: &[u8], chunk: &mut Vec<u8>) -> Result<(), SealError> {
        let sealed = self.0.seal_in_place_append_tag(nonce(number), Aad::from(associated), chunk);
        sealed.map_err(|_| SealError::Crypto)
    }

    /// Decrypts in place. Fails for a chunk that was altered, moved, or taken from another backup.
    pub fn open_chunk(&self, number: u64, associated: &[u8], chunk: &mut Vec<u8>) -> Result<(), SealError> {
        let opened = self.0.open_in_place(nonce(number), Aad::from(associated), chunk);
        let plain_bytes = opened.map_err(|_| SealError::Altered { what: "chunk of the backup" })?.len();
        chunk.truncate(plain_bytes);
        Ok(())
    }

    fn of(key: &Secret) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| SealError::Crypto)?;
        Ok(Self(LessSafeKey::new(key)))
    }
}

impl std::fmt::Debug for BackupCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupCipher(…)")
    }
}

fn wrapping_key(sealing_key: &SealingKey) -> Result<EnvelopeKey, SealError> {
    EnvelopeKey::new(&sealing_key.derive(Purpose::WrapBackup)?)
}

fn binding(name: BackupName<'_>) -> Binding<'_> {
    Binding { cluster: name.cluster, record: RecordType::BackupKey, key_id: name.id }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// A backup's key has no terms.
const KEY_TERM: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;

    const NAME: BackupName<'_> = BackupName { cluster: &[7; 16], id: "b1" };

    #[test]
    fn a_chunk_opens_only_in_its_own_place() {
        let sealing_key = SealingKey::generate(&SystemRandom::new()).unwrap();
        let (cipher, wrapped) = BackupCipher::create(&sealing_key, NAME, &SystemRandom::new()).unwrap();
        let mut sealed = b"canary".to_vec();
        cipher.seal_chunk(3, b"header", &mut sealed).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"canary"));

        let again = BackupCipher::open(&sealing_key, NAME, &wrapped).unwrap();
        let open = |cipher: &BackupCipher, number, associated: &[u8]| {
            let mut chunk = sealed.clone();
            cipher.open_chunk(number, associated, &mut chunk).map(|()| chunk)
        };
        assert_eq!(open(&again, 3, b"header").unwrap(), b"canary");
        assert!(open(&again, 4, b"header").is_err());
        assert!(open(&again, 3, b"another").is_err());
        let (stranger, _) = BackupCipher::create(&sealing_key, NAME, &SystemRandom::new()).unwrap();
        assert!(open(&stranger, 3, b"header").is_err());
    }

    #[test]
    fn a_key_is_bound_to_its_backup_and_cluster() {
        let sealing_key = SealingKey::generate(&SystemRandom::new()).unwrap();
        let (_, wrapped) = BackupCipher::create(&sealing_key, NAME, &SystemRandom::new()).unwrap();
        for name in [BackupName { id: "b2", ..NAME }, BackupName { cluster: &[8; 16], ..NAME }] {
            assert!(BackupCipher::open(&sealing_key, name, &wrapped).is_err());
        }
        let other = SealingKey::generate(&SystemRandom::new()).unwrap();
        assert!(BackupCipher::open(&other, NAME, &wrapped).is_err());
    }
}
