//! `passphrase`: the sealing key under Argon2id and a passphrase that people keep.

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::seal::{PassphraseCost, SealError, unwrap_with_passphrase, wrap_with_passphrase};
use steeple_core::Secret;
use steeple_core::plugin::{BoxFuture, Seal, SealFailure, SecretSource};

use super::secret;

/// Reads the passphrase anew each time.
#[derive(Clone, Debug)]
pub struct PassphraseSeal {
    pub passphrase: SecretSource,
}

impl Seal for PassphraseSeal {
    fn kind(&self) -> &'static str {
        "passphrase"
    }

    fn secret_path(&self) -> Option<PathBuf> {
        secret::path(&self.passphrase)
    }

    fn wrap<'a>(&'a self, key: &'a Secret, associated: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealFailure>> {
        let (key, associated) = (key.duplicate(), associated.to_vec());
        Box::pin(self.on_a_thread(move |passphrase| {
            if passphrase.expose().len() < PASSPHRASE_BYTES_MIN {
                return Err(SealFailure::refused(format!(
                    "the passphrase has less than {PASSPHRASE_BYTES_MIN} bytes: whoever has the file can guess it"
                )));
            }
            let cost = PassphraseCost::RECOMMENDED;
            wrap_with_passphrase(&passphrase, cost, &key, &associated, &SystemRandom::new()).map_err(refused)
        }))
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8], associated: &'a [u8]) -> BoxFuture<'a, Result<Secret, SealFailure>> {
        let (wrapped, associated) = (wrapped.to_vec(), associated.to_vec());
        Box::pin(
            self.on_a_thread(move |passphrase| {
                unwrap_with_passphrase(&passphrase, &wrapped, &associated).map_err(refused)
            }),
        )
    }
}

impl PassphraseSeal {
    /// Argon2id takes a good part of a second.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(Secret) -> Result<T, SealFailure> + Send + 'static,
    ) -> Result<T, SealFailure> {
        let source = self.passphrase.clone();
        let done = tokio::task::spawn_blocking(move || work(secret::read(&source)?)).await;
        done.map_err(|error| SealFailure::refused(error.to_string()))?
    }
}

fn refused(error: SealError) -> SealFailure {
    match error {
        SealError::Altered { .. } => SealFailure::refused("the passphrase is wrong, or the file was altered"),
        other => SealFailure::refused(other.to_string()),
    }
}

/// A diceware passphrase of three words; six are better.
const PASSPHRASE_BYTES_MIN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(dir: &tempfile::TempDir, passphrase: &str) -> PassphraseSeal {
        let path = dir.path().join("passphrase");
        steeple_files::write_private_file(&path, passphrase.as_bytes()).unwrap();
        PassphraseSeal { passphrase: SecretSource::File(path) }
    }

    #[tokio::test]
    async fn the_passphrase_opens_and_a_wrong_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let wrapped = seal(&dir, "correct horse battery").wrap(&Secret::new(b"key".to_vec()), b"here").await.unwrap();
        let again = seal(&dir, "correct horse battery\n").unwrap(&wrapped, b"here").await.unwrap();
        assert_eq!(again.expose(), b"key");
        let wrong = seal(&dir, "correct horse").unwrap(&wrapped, b"here").await.unwrap_err();
        assert_eq!(wrong, SealFailure::refused("the passphrase is wrong, or the file was altered"));
    }

    #[tokio::test]
    async fn a_short_passphrase_seals_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let refused = seal(&dir, "short").wrap(&Secret::new(b"key".to_vec()), b"here").await.unwrap_err().to_string();
        assert!(refused.contains("less than 12 bytes") && !refused.contains("short"), "{refused}");
    }
}
