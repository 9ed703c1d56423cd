//! A member that starts without the right sealing key runs on, sealed, and asks for the key until it has it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use steeple_ca::seal::SealingKey;

use super::custody::{ASK_AGAIN, Custody, CustodyError};
use super::key_in_use::KeyInUse;
use crate::raft::{SharedState, open_keyring};

pub struct Unsealing {
    custody: Custody,
    /// What the last question was answered from, and whether the same question may have another answer later.
    inputs: Vec<Option<Stamp>>,
    may_pass: bool,
}

/// What changes whenever a file is written, replaced or given another mode.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds of the last change of content or mode.
    changed: (i64, i64),
}

impl Unsealing {
    /// Asks once, before the server starts.
    pub async fn begin(custody: Custody) -> (Self, KeyInUse) {
        let mut unsealing = Self { custody, inputs: Vec::new(), may_pass: true };
        let path = unsealing.custody.path().to_owned();
        let key = match unsealing.ask().await {
            Ok(key) => KeyInUse::open(Arc::new(key), &path),
            Err(error) => KeyInUse::sealed(error.to_string(), &path),
        };
        (unsealing, key)
    }

    /// Returns once `key` opens the keyring of `state`. A seal that refused is asked again when its file or its secret
    /// has changed, because a token counts wrong PINs.
    pub async fn run(mut self, key: KeyInUse, state: SharedState) {
        let mut told = None;
        while let Err(sealed) = key.get() {
            if told.as_ref() != Some(&sealed) {
                tracing::error!(reason = %sealed, "this replica only votes and follows");
                told = Some(sealed);
            }
            tokio::time::sleep(ASK_AGAIN).await;
            if !self.may_pass && self.inputs == self.stamps() {
                continue;
            }
            match self.ask().await {
                Err(error) => key.seal(error.to_string()),
                Ok(opened) => match open_keyring(&state.read(), &opened) {
                    Err(error) => key.refuse(&error),
                    Ok(_) => key.unseal(opened),
                },
            }
        }
        tracing::info!(seal = self.custody.kind(), "the server is unsealed");
    }

    async fn ask(&mut self) -> Result<SealingKey, CustodyError> {
        // Before the answer: what changes meanwhile is a reason to ask again.
        self.inputs = self.stamps();
        let answer = self.custody.open().await;
        self.may_pass = answer.as_ref().is_err_and(CustodyError::may_pass);
        answer
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.custody.inputs().into_iter().map(stamp).collect()
    }
}

fn stamp(path: PathBuf) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp { inode: meta.ino(), size_bytes: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steeple_config::SealSettings;
    use steeple_core::SystemClock;

    use super::*;

    fn custody(path: &Path) -> Custody {
        Custody::at(path, &SealSettings::File, &(Arc::new(SystemClock) as Arc<dyn steeple_core::Clock>))
    }

    #[tokio::test]
    async fn a_refusal_is_final_until_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        let (mut unsealing, key) = Unsealing::begin(custody(&path)).await;
        assert!(key.get().unwrap_err().to_string().contains("no sealing key at"));
        assert!(!unsealing.may_pass);
        assert_eq!(unsealing.inputs, unsealing.stamps());

        fs::write(&path, "hello").unwrap();
        assert_ne!(unsealing.inputs, unsealing.stamps());
        assert!(unsealing.ask().await.is_err());
        assert_eq!(unsealing.inputs, unsealing.stamps());

        fs::remove_file(&path).unwrap();
        custody(&path).open_or_create().await.unwrap();
        assert_ne!(unsealing.inputs, unsealing.stamps());
        assert!(unsealing.ask().await.is_ok());
    }
}
