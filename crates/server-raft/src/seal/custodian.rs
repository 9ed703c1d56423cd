//! Cares for a replica's sealing key as long as the server runs. A member that starts without the right one runs on,
//! sealed, and asks for it until it has it; and when the cluster's key is replaced, the new one is kept beside the old
//! one until the keyring says that it is in force.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steeple_ca::seal::{NextSealingKey, SealError, SealedKeyring, SealingKey};
use steeple_state::{Change, State};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::custody::{ASK_AGAIN, Custody, CustodyError};
use super::key_in_use::{KeyInUse, KeysTold};
use super::new_key::{KeptKeys, Upkeep, upkeep};
use crate::raft::{Replica, SealingKeyError};

pub struct Custodian {
    custody: Custody,
    next: Custody,
    /// What the last question was answered from, and whether the same question may have another answer later.
    inputs: Vec<Option<Stamp>>,
    revision: u64,
    may_pass: bool,
    /// As `inputs`, when a seal refused to take the new key, and what it said.
    not_taken: Option<(Vec<Option<Stamp>>, String)>,
}

/// What changes whenever a file is written, replaced or given another mode.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds of the last change of content or mode.
    changed: (i64, i64),
}

/// What the own state says of sealing keys.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    applied_index: u64,
    revision: u64,
    in_force: String,
    offered: Option<String>,
}

/// What the files gave.
struct Opened {
    keys: Vec<Arc<SealingKey>>,
    /// Of the file that did not open.
    error: Option<CustodyError>,
}

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Custody(#[from] CustodyError),
    #[error(transparent)]
    Replica(#[from] SealingKeyError),
    /// As it said before, and nothing has changed since.
    #[error("{0}")]
    StillRefused(String),
}

impl Custodian {
    /// Asks once, before the server starts.
    pub async fn begin(custody: Custody) -> (Self, KeyInUse) {
        let mut custodian = Self::of(custody);
        let path = custodian.custody.path().to_owned();
        let Opened { keys, error } = custodian.ask().await;
        let key = match keys.split_first() {
            Some((first, others)) => {
                let key = KeyInUse::open(Arc::clone(first), &path);
                others.iter().for_each(|other| key.hold(Arc::clone(other)));
                key
            }
            None => KeyInUse::sealed(error.map(|error| error.to_string()).unwrap_or_default(), &path),
        };
        (custodian, key)
    }

    /// Of a server that does not start without its key, and has it.
    pub async fn with_key(custody: Custody, key: SealingKey) -> (Self, KeyInUse) {
        let custodian = Self::of(custody);
        let held = KeyInUse::open(Arc::new(key), custodian.custody.path());
        match custodian.next.open().await {
            Ok(next) => held.hold(Arc::new(next)),
            Err(error) if error.is_missing() => {}
            Err(error) => tracing::warn!(%error, "the key that is to be the next one does not open"),
        }
        (custodian, held)
    }

    fn of(custody: Custody) -> Self {
        let next = custody.next();
        Self { custody, next, inputs: Vec::new(), revision: 0, may_pass: true, not_taken: None }
    }

    /// Runs until `stop`. A seal that refused is asked again when a file, its secret or the keyring has changed,
    /// because a token counts wrong PINs.
    pub async fn run(mut self, key: KeyInUse, replica: Replica, stop: CancellationToken) {
        let mut events = replica.events();
        let mut told = None;
        loop {
            let wanted = Wanted::of(&replica.state().read());
            let was_sealed = key.is_sealed();
            let pause = match &wanted {
                Some(wanted) => self.look(&key, &replica, wanted).await,
                None => ASK_AGAIN,
            };
            let sealed = key.check().err();
            if let Some(sealed) = &sealed
                && told.as_ref() != Some(sealed)
            {
                tracing::error!(reason = %sealed, "this replica only votes and follows");
            }
            if was_sealed && sealed.is_none() {
                tracing::info!(seal = self.custody.kind(), "the server is unsealed");
            }
            told = sealed;
            let until_changed = async {
                loop {
                    match events.recv().await {
                        Ok(applied) if applied.replaced => break,
                        Ok(applied) if applied.events.iter().any(|event| is_of_the_keyring(&event.change)) => break,
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => std::future::pending::<()>().await,
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = until_changed => {}
            }
        }
    }

    /// Returns after how long to look again.
    async fn look(&mut self, key: &KeyInUse, replica: &Replica, wanted: &Wanted) -> Duration {
        let is_missing = key.named(&wanted.in_force).is_none();
        if is_missing && !key.is_sealed() && is_behind(replica, wanted) {
            // Who joined after a key was replaced reads in the log of one that it never had.
            return ASK_SOON;
        }
        if is_missing && self.is_worth_asking(wanted) {
            self.unseal(key, wanted).await;
        }
        if key.named(&wanted.in_force).is_none() {
            key.tell(KeysTold { kept: self.openable(key), problem: String::new() });
            return ASK_AGAIN;
        }
        let done = self.keep(key, replica, wanted).await;
        let problem = match done {
            Ok(()) => String::new(),
            Err(error) => {
                let problem = error.to_string();
                if key.told().problem != problem {
                    tracing::warn!(error = problem, "the new sealing key is not kept here yet");
                }
                problem
            }
        };
        let is_under_way = wanted.offered.is_some();
        key.tell(KeysTold { kept: self.openable(key), problem });
        if is_under_way { ASK_SOON } else { ASK_AGAIN }
    }

    fn is_worth_asking(&self, wanted: &Wanted) -> bool {
        self.may_pass || self.revision != wanted.revision || self.inputs != self.stamps()
    }

    /// Seals the server unless a file gives the key in force.
    async fn unseal(&mut self, key: &KeyInUse, wanted: &Wanted) {
        let before = key.first().ok().and_then(|key| key.id().ok());
        self.revision = wanted.revision;
        let Opened { keys, error } = self.ask().await;
        let named = |key: &Arc<SealingKey>| key.id().is_ok_and(|id| id == wanted.in_force);
        match (keys.iter().any(named), error, keys.first().and_then(|key| key.id().ok())) {
            (true, ..) => key.unseal(keys),
            (false, Some(error), _) => key.seal(error.to_string()),
            // It served under the key that its file still has.
            (false, None, Some(actual)) if before.as_ref() == Some(&actual) => key.seal(format!(
                "{0}: the cluster replaced its sealing key by {1} without this server, whose file still has {actual}: \
                 copy the file of that name from a replica that runs, or restore {0} as of now",
                self.custody.path().display(),
                wanted.in_force
            )),
            (false, None, actual) => key.refuse(&SealError::WrongSealingKey {
                expected: wanted.in_force.clone(),
                actual: actual.unwrap_or_default(),
            }),
        }
    }

    /// Does what the own state asks for with the two files.
    async fn keep(&mut self, key: &KeyInUse, replica: &Replica, wanted: &Wanted) -> Result<(), KeepError> {
        let offered = wanted.offered.as_deref();
        let opens = |id: &str| key.named(id).is_some();
        match (upkeep(&wanted.in_force, offered, &self.kept(), opens), offered) {
            (Upkeep::Nothing, _) | (Upkeep::Keep, None) => Ok(()),
            (Upkeep::Discard, _) => {
                self.custody.discard_next()?;
                key.hold_only(&wanted.in_force);
                tracing::info!("the sealing key that was to be the next one is gone");
                Ok(())
            }
            (Upkeep::Promote, _) => {
                // A crash must not take the state back to where the other key was in force.
                replica.make_durable(wanted.applied_index).await?;
                self.custody.promote_next()?;
                key.hold_only(&wanted.in_force);
                let (id, path) = (&wanted.in_force, self.custody.path().display());
                tracing::info!(sealing_key_id = id, %path, "the new sealing key is in force, and the old one is gone");
                Ok(())
            }
            (Upkeep::Keep, Some(offered)) => self.fetch(key, replica, wanted.applied_index, offered).await,
        }
    }

    /// Seals the offered key, of which the state tells up to `applied_index`, into the file beside.
    async fn fetch(
        &mut self,
        key: &KeyInUse,
        replica: &Replica,
        applied_index: u64,
        id: &str,
    ) -> Result<(), KeepError> {
        let stamps = self.stamps();
        if let Some((then, why)) = &self.not_taken
            && *then == stamps
        {
            return Err(KeepError::StillRefused(why.clone()));
        }
        let offered = match key.named(id) {
            Some(at_hand) => at_hand,
            None => Arc::new(replica.fetch_sealing_key(id, Instant::now() + FETCH_TIMEOUT).await?),
        };
        // After a crash the state still tells what the file is for, or it would be taken for one that was given up.
        replica.make_durable(applied_index).await?;
        let kept = self.next.replace(offered.duplicate()).await;
        let refused = kept.as_ref().err().filter(|error| error.is_refusal());
        self.not_taken = refused.map(|error| (stamps, error.to_string()));
        kept?;
        key.hold(offered);
        let path = self.next.path().display();
        tracing::info!(sealing_key_id = id, %path, "the new sealing key is kept beside the one in force");
        Ok(())
    }

    async fn ask(&mut self) -> Opened {
        // Before the answer: what changes meanwhile is a reason to ask again.
        self.inputs = self.stamps();
        let (current, next) = (self.custody.open().await, self.next.open().await);
        let mut opened = Opened { keys: Vec::new(), error: None };
        self.may_pass = false;
        for (answer, is_current) in [(current, true), (next, false)] {
            match answer {
                Ok(key) => opened.keys.push(Arc::new(key)),
                Err(error) if error.is_missing() && !is_current => {}
                Err(error) => {
                    self.may_pass |= error.may_pass();
                    opened.error.get_or_insert(error);
                }
            }
        }
        opened
    }

    /// Ids as the files tell them.
    fn kept(&self) -> KeptKeys {
        let id = |custody: &Custody| custody.held().ok().map(|held| held.key_id);
        KeptKeys { current: id(&self.custody), next: id(&self.next) }
    }

    /// Of these, what this server has in memory.
    fn openable(&self, key: &KeyInUse) -> KeptKeys {
        let KeptKeys { current, next } = self.kept();
        let opens = |id: &String| key.named(id).is_some();
        KeptKeys { current: current.filter(opens), next: next.filter(opens) }
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.custody.inputs().into_iter().chain([self.next.path().to_owned()]).map(stamp).collect()
    }
}

impl Wanted {
    fn of(state: &State) -> Option<Self> {
        let sealed = state.keyring()?;
        let keyring = SealedKeyring::decode(&sealed.content).ok()?;
        Some(Self {
            applied_index: state.applied_index(),
            revision: sealed.revision,
            in_force: keyring.sealing_key_id().to_owned(),
            offered: keyring.next().and_then(NextSealingKey::id).map(str::to_owned),
        })
    }
}

/// Whether the own state may be older than what is in force.
fn is_behind(replica: &Replica, wanted: &Wanted) -> bool {
    replica.leader_applied(LEADER_HEARD_WITHIN).is_none_or(|applied| wanted.applied_index < applied)
}

fn is_of_the_keyring(change: &Change) -> bool {
    matches!(change, Change::Cluster | Change::Keyring { .. })
}

fn stamp(path: PathBuf) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp { inode: meta.ino(), size_bytes: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

/// While a new key is on its way.
const ASK_SOON: Duration = Duration::from_millis(500);
/// A few pings.
const LEADER_HEARD_WITHIN: Duration = Duration::from_secs(5);
/// A member answers from memory.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use steeple_config::SealSettings;
    use steeple_core::SystemClock;

    use super::*;

    fn custody(path: &Path) -> Custody {
        Custody::at(path, &SealSettings::File, &(Arc::new(SystemClock) as Arc<dyn steeple_core::Clock>))
    }

    fn ids(opened: &Opened) -> Vec<String> {
        opened.keys.iter().map(|key| key.id().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_refusal_is_final_until_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        let (mut custodian, key) = Custodian::begin(custody(&path)).await;
        assert!(key.check().unwrap_err().to_string().contains("no sealing key at"));
        assert!(!custodian.may_pass);
        assert_eq!(custodian.inputs, custodian.stamps());

        fs::write(&path, "hello").unwrap();
        assert_ne!(custodian.inputs, custodian.stamps());
        assert!(custodian.ask().await.keys.is_empty());
        assert_eq!(custodian.inputs, custodian.stamps());

        fs::remove_file(&path).unwrap();
        custody(&path).open_or_create().await.unwrap();
        assert_ne!(custodian.inputs, custodian.stamps());
        assert_eq!(custodian.ask().await.keys.len(), 1);
    }

    #[tokio::test]
    async fn a_replica_starts_with_either_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        let [old, new] = [(); 2].map(|()| SealingKey::generate(&aws_lc_rs::rand::SystemRandom::new()).unwrap());
        let [old_id, new_id] = [&old, &new].map(|key| key.id().unwrap());
        custody(&path).replace(old).await.unwrap();
        custody(&path).next().replace(new).await.unwrap();
        let (mut custodian, key) = Custodian::begin(custody(&path)).await;
        assert!([&old_id, &new_id].iter().all(|id| key.named(id).is_some()));
        assert_eq!(custodian.openable(&key), KeptKeys { current: Some(old_id), next: Some(new_id.clone()) });

        fs::remove_file(&path).unwrap();
        let opened = custodian.ask().await;
        assert_eq!(ids(&opened), std::slice::from_ref(&new_id));
        assert!(opened.error.is_some_and(|error| error.is_missing()));
        let (_, key) = Custodian::begin(custody(&path)).await;
        assert!(key.named(&new_id).is_some());
    }
}
