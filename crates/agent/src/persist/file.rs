//! The file itself.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use steeple_core::{Secret, Timestamp};
use steeple_files::write_private_file;

use super::Seal;
use super::kept::Kept;
use super::seal::SealError;
use crate::cache::{Cache, RotationRule};

/// `agent-svids.sealed` in the data directory.
#[derive(Clone, Debug)]
pub struct PersistedFile {
    path: PathBuf,
}

/// Why there is nothing to start with. The agent starts as it would without.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge { path: PathBuf },
    #[error("{path}: {source}")]
    Sealed { path: PathBuf, source: SealError },
    #[error("{path}: its content is malformed")]
    Malformed { path: PathBuf },
    #[error("{path}: it has no bundle of the own trust domain")]
    NoBundle { path: PathBuf },
    #[error("sealing: {0}")]
    Seal(#[source] SealError),
    /// Names the file.
    #[error(transparent)]
    Write(io::Error),
}

impl PersistedFile {
    pub fn in_dir(data_dir: &Path) -> Self {
        Self { path: data_dir.join("agent-svids.sealed") }
    }

    /// Fills `cache`, which is empty, and tells how many SVIDs are good still; `None` when there is no file. The seal
    /// may be of any of the agent's keys: the file may be older than the last of them.
    pub fn restore(
        &self,
        agent_keys: &[Secret],
        cache: &Cache,
        rotation: RotationRule,
        now: Timestamp,
    ) -> Result<Option<usize>, PersistError> {
        let Some(sealed) = self.read()? else { return Ok(None) };
        let path = || self.path.clone();
        let mut outcome = Err(SealError::Broken);
        for key in agent_keys {
            outcome = Seal::of(key).and_then(|seal| seal.open(cache.trust_domain(), &sealed));
            if outcome.is_ok() {
                break;
            }
        }
        let plain = outcome.map_err(|source| PersistError::Sealed { path: path(), source })?;
        let kept = Kept::parse(&plain).ok_or_else(|| PersistError::Malformed { path: path() })?;
        match kept.restore(cache, rotation, now) {
            None => Err(PersistError::NoBundle { path: path() }),
            restored => Ok(restored),
        }
    }

    /// Mode 0600, whole or not at all.
    pub fn store(&self, cache: &Cache, seal: &Seal) -> Result<(), PersistError> {
        let plain = Kept::of(cache).to_bytes();
        let sealed = seal.seal(cache.trust_domain(), &plain).map_err(PersistError::Seal)?;
        write_private_file(&self.path, &sealed).map_err(PersistError::Write)
    }

    /// For an agent that is another one from now on.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<Option<Vec<u8>>, PersistError> {
        let mut sealed = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut sealed));
        match read {
            Ok(_) if sealed.len() as u64 > FILE_BYTES_MAX => Err(PersistError::TooLarge { path: self.path.clone() }),
            Ok(_) => Ok(Some(sealed)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PersistError::Read { path: self.path.clone(), source }),
        }
    }
}

/// A hundred thousand entries with as many SVIDs.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use steeple_core::{Entry, TrustDomain};

    use super::*;
    use crate::cache::Readiness;
    use crate::cache::tests::{entry, set, svid};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn empty() -> Cache {
        Cache::new(TrustDomain::parse("td").unwrap())
    }

    fn filled() -> Cache {
        let cache = empty();
        cache.set_bundles(vec![steeple_core::Bundle::empty(cache.trust_domain().clone())]);
        // Servers do not tell the parent.
        let synced =
            |id: &str, selectors: &[&str]| Entry { parent_id: cache.trust_domain().id(), ..entry(id, selectors) };
        let named = Entry { hint: "h".into(), revision: 3, ..synced("long", &["1"]) };
        cache.set_entries(vec![named, synced("short", &["2"]), synced("none", &["3"])]);
        cache.put_svid("long", svid("long", 0, 1000));
        cache.put_svid("short", svid("short", 0, 100));
        cache
    }

    fn key(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn what_was_served_is_served_again_and_expired_svids_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = PersistedFile::in_dir(dir.path());
        let rule = RotationRule::default();
        assert_eq!(file.restore(&[key("a")], &empty(), rule, at(0)).unwrap(), None);
        let before = filled();
        file.store(&before, &Seal::of(&key("a")).unwrap()).unwrap();
        assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);

        let cache = empty();
        let restored = file.restore(&[key("b"), key("a")], &cache, rule, at(100)).unwrap();
        assert_eq!(restored, Some(1));
        let (old, new) = (before.view(&set(&["1"])), cache.view(&set(&["1"])));
        assert_eq!(new.identities[0].entry, old.identities[0].entry);
        let (old, new) = (&old.identities[0].svid, &new.identities[0].svid);
        assert_eq!((&new.chain, new.key.expose(), new.not_after), (&old.chain, old.key.expose(), old.not_after));
        assert_eq!((new.revision, new.created_at), (old.revision, old.created_at));
        assert_eq!(cache.view(&set(&["2"])).readiness(), Readiness::Waiting, "it has expired");
        assert_eq!(cache.view(&set(&["3"])).readiness(), Readiness::Waiting);
        // A server that sends the same again changes nothing.
        let entries = before.entries().into_iter().map(|state| Arc::unwrap_or_clone(state.entry)).collect();
        let mut changes = cache.changes();
        changes.mark_unchanged();
        cache.set_entries(entries);
        assert!(!changes.has_changed().unwrap());
    }

    #[test]
    fn without_the_agents_key_or_unaltered_it_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = PersistedFile::in_dir(dir.path());
        let rule = RotationRule::default();
        file.store(&filled(), &Seal::of(&key("a")).unwrap()).unwrap();
        let refused = |keys: &[Secret]| {
            let cache = empty();
            let error = file.restore(keys, &cache, rule, at(0)).unwrap_err().to_string();
            assert!(cache.entries().is_empty() && cache.bundles().is_empty());
            error
        };
        assert!(refused(&[key("b")]).ends_with("belongs to another agent or trust domain"));
        assert!(refused(&[]).contains("the seal is broken"));
        let mut altered = fs::read(&file.path).unwrap();
        *altered.last_mut().unwrap() ^= 1;
        fs::write(&file.path, altered).unwrap();
        assert!(refused(&[key("a")]).contains("the seal is broken"));
        file.store(&empty(), &Seal::of(&key("a")).unwrap()).unwrap();
        assert!(refused(&[key("a")]).ends_with("it has no bundle of the own trust domain"));
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.restore(&[key("a")], &empty(), rule, at(0)).unwrap(), None);
    }
}
