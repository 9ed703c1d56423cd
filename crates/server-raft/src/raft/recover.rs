//! After the loss of a quorum for good: one survivor becomes the only member of a new cluster with the same state.
//!
//! Everything that the survivor's log holds is taken as committed. That includes entries that never were; what other
//! replicas acknowledged and this one never received is lost. The old store is read, kept, and not changed.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use openraft::EntryPayload;
use steeple_ca::seal::SealingKey;
use steeple_core::Timestamp;
use steeple_state::codec::decode_commands;
use steeple_state::{DecodeError, Refounded, State, Table, Uuid};
use steeple_storage::{Inspector, Replacement, StorageError};

use super::identity::shown;
use super::inspect::{InspectError, Survey, decoded, survey};
use super::refound::{NewCluster, Operator, RefoundError, refound, write};
use super::sealing_keys;
use super::types::NodeId;
use crate::watched::{Watcher, part, unwatched};

/// What a recovery did.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub cluster_uuid: Uuid,
    pub done: Refounded,
    /// Log entries that had not been applied yet.
    pub replayed: u64,
    /// The old store.
    pub kept: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("the rows of this directory cannot be used: {0}")]
    Rows(#[from] DecodeError),
    #[error("the survivor's log lacks entry {index}: recover from another replica, or restore a backup")]
    Gap { index: u64 },
    #[error("log entry {index} cannot be applied: {reason}; use the release that wrote it")]
    Entry { index: u64, reason: DecodeError },
    #[error("no sealing key was given")]
    NoKey,
    #[error("this directory is a quorum of its cluster by itself: start its server, no recovery is needed")]
    Quorum,
    #[error("this directory never was a member of a cluster: name the data directory of a replica")]
    NoMember,
    #[error("the state cannot be made a new cluster: {0}")]
    Refound(#[from] RefoundError),
}

/// The survivors, the one to recover from first: it holds every entry that any of them can have acknowledged.
///
/// # Errors
/// Directories of different clusters are [`PlanError::Clusters`].
pub fn plan(dirs: &[PathBuf]) -> Result<Vec<Survey>, PlanError> {
    let mut survivors = dirs.iter().map(|dir| survey(dir, &mut unwatched)).collect::<Result<Vec<_>, _>>()?;
    let mut clusters = survivors.iter().map(|survivor| survivor.cluster_uuid.clone());
    if let Some(first) = clusters.next()
        && let Some(other) = clusters.find(|cluster| *cluster != first)
    {
        let name = |cluster: Option<String>| cluster.unwrap_or_else(|| "no cluster".to_owned());
        return Err(PlanError::Clusters(name(first), name(other)));
    }
    // As voters compare candidates: by the last entry, then by the vote.
    survivors.sort_by_key(|survivor| Reverse((survivor.last_log, survivor.vote)));
    Ok(survivors)
}

/// Whether those that are named are enough for a leader by the newest log among them: `survivors` as [`plan`] sorts
/// them. They then hold whatever was acknowledged, and start as the cluster that they are.
pub fn is_quorum(survivors: &[Survey]) -> bool {
    let named: BTreeSet<NodeId> = survivors.iter().filter_map(|survivor| survivor.node_id).collect();
    survivors.first().is_some_and(|newest| has_majorities(&newest.voters, &named))
}

fn has_majorities(voters: &[BTreeSet<NodeId>], named: &BTreeSet<NodeId>) -> bool {
    let majority = |set: &BTreeSet<NodeId>| set.intersection(named).count() * 2 > set.len();
    !voters.is_empty() && voters.iter().all(majority)
}

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("the directories belong to different clusters ({0} and {1}): name those of one cluster")]
    Clusters(String, String),
}

/// Makes `dir` the only member of a new cluster, under that of `keys` which opens what it holds. All of it or nothing.
pub fn recover(
    dir: &Path,
    keys: &[SealingKey],
    by: Operator,
    now: Timestamp,
    watcher: Watcher<'_>,
) -> Result<Recovered, RecoverError> {
    let replacement = Replacement::of_store(dir)?;
    let survivor = survey(dir, &mut part(watcher, 0, PARTS))?;
    if is_quorum(std::slice::from_ref(&survivor)) {
        return Err(RecoverError::Quorum);
    }
    let inspector = Inspector::open(dir)?;
    let node_id = shown(&inspector.summary()?.identity).node_id.ok_or(RecoverError::NoMember)?;
    let (state, replayed) = replay(&inspector, watcher)?;
    drop(inspector);

    let in_force = sealing_keys::in_force(&state);
    let opens = keys.iter().find(|key| key.id().ok() == in_force).or(keys.first());
    let sealing_key = opens.ok_or(RecoverError::NoKey)?;
    let facts = state.member(node_id).map(|member| member.facts.clone());
    let new = NewCluster {
        sealing_key,
        name: facts.as_ref().map(|facts| facts.name.clone()).unwrap_or_default(),
        peer_address: facts.as_ref().map(|facts| facts.peer_address.clone()).unwrap_or_default(),
        api_address: facts.map(|facts| facts.api_address).unwrap_or_default(),
        rotate: false,
        by,
        now,
    };
    let reborn = refound(state, &new)?;
    let storage = replacement.open()?;
    let terms = [survivor.vote.map(|vote| vote.term), survivor.last_log.map(|last| last.term)];
    write(&storage, &reborn, terms.into_iter().flatten().max().unwrap_or(0), &mut part(watcher, 3, PARTS))?;
    drop(storage);
    let kept = replacement.commit()?;
    Ok(Recovered { cluster_uuid: reborn.cluster_uuid, done: reborn.done, replayed, kept })
}

/// Reading the log, reading the rows, applying entries, and writing.
const PARTS: u64 = 4;

/// The rows, and on top of them every entry of the log.
fn replay(inspector: &Inspector, watcher: Watcher<'_>) -> Result<(State, u64), RecoverError> {
    let summary = inspector.summary()?;
    let mut reading = part(watcher, 1, PARTS);
    let estimate = inspector.rows_estimate()?;
    let mut rows = Vec::new();
    for row in inspector.rows()? {
        reading(rows.len() as u64, estimate);
        let row = row?;
        let table = Table::from_number(row.table).ok_or(DecodeError::UnknownContent)?;
        rows.push((table, row.key, row.value));
    }
    let mut state = State::from_rows(summary.applied.unwrap_or(0), rows)?;
    drop(reading);
    let mut applied = summary.applied;
    let mut replayed = 0;
    let mut applying = part(watcher, 2, PARTS);
    let total = inspector.last_index()?.unwrap_or(0).saturating_sub(applied.unwrap_or(0));
    for stored in inspector.entries(applied.map_or(0, |applied| applied.saturating_add(1)))? {
        let stored = stored?;
        if let Some(index) = applied.map(|applied| applied.saturating_add(1))
            && index != stored.index
        {
            return Err(RecoverError::Gap { index });
        }
        applied = Some(stored.index);
        if let EntryPayload::Normal(proposal) = decoded(&stored)?.payload {
            let commands = decode_commands(&proposal.commands);
            let commands = commands.map_err(|reason| RecoverError::Entry { index: stored.index, reason })?;
            for command in &commands {
                state.apply(stored.index, command);
            }
        }
        replayed += 1;
        applying(replayed, total);
    }
    state.passed(applied.unwrap_or(0));
    Ok((state, replayed))
}

#[cfg(test)]
mod tests {
    use std::slice;
    use std::sync::Arc;

    use aws_lc_rs::rand::SystemRandom;
    use openraft::entry::RaftEntry;
    use steeple_core::{Bundle, TrustDomain};
    use steeple_state::codec::encode_commands;
    use steeple_state::{ClusterInit, Command, CommandKind, MemberFacts, NO_REQUEST};
    use steeple_storage::{Batch, LogEntry, Options, Storage};

    use super::*;
    use crate::raft::types::{Entry, LeaderId, LogId, Proposal};
    use crate::raft::{beginning, codec, identity, peer_ca};

    #[test]
    fn a_quorum_is_a_majority_of_each_set_of_voters() {
        let set = |ids: &[NodeId]| ids.iter().copied().collect::<BTreeSet<_>>();
        let three = [set(&[1, 2, 3])];
        assert!(has_majorities(&three, &set(&[1, 3])) && has_majorities(&[set(&[1])], &set(&[1])));
        assert!(!has_majorities(&three, &set(&[1])) && !has_majorities(&three, &set(&[1, 4, 5])));
        assert!(!has_majorities(&[set(&[1, 2, 3, 4])], &set(&[1, 2])));
        // A change from three voters to others.
        let joint = [set(&[1, 2, 3]), set(&[3, 4, 5])];
        assert!(!has_majorities(&joint, &set(&[1, 2, 3])) && has_majorities(&joint, &set(&[2, 3, 4])));
        assert!(!has_majorities(&[], &set(&[1])));
    }

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const CLUSTER: Uuid = [7; 16];
    const TERM: u64 = 3;
    const BY: Operator = Operator { command: "recover apply", uid: 7 };

    fn command(kind: CommandKind) -> Command {
        Command { request_id: NO_REQUEST, at: NOW, actor: "test".to_owned(), kind }
    }

    fn init(key: &SealingKey) -> Command {
        let sealed = peer_ca::found(&CLUSTER, key, NOW).unwrap();
        let first = MemberFacts {
            storage_uuid: [1; 16],
            name: "survivor".to_owned(),
            peer_address: "survivor:8082".to_owned(),
            api_address: String::new(),
        };
        command(CommandKind::InitCluster(Box::new(ClusterInit {
            cluster_uuid: CLUSTER,
            trust_domain: domain("example.org"),
            keyring: sealed.keyring,
            peer_ca: sealed.peer_ca,
            first,
            version: steeple_state::CLUSTER_VERSION_FIRST,
        })))
    }

    fn domain(name: &str) -> TrustDomain {
        TrustDomain::from_name(name).unwrap()
    }

    fn federated(name: &str) -> Command {
        command(CommandKind::CreateBundles { bundles: vec![Arc::new(Bundle::empty(domain(name)))] })
    }

    fn stored(index: u64, command: &Command) -> LogEntry {
        let proposal = Proposal { stamped_at: NOW, commands: encode_commands(std::slice::from_ref(command)).into() };
        let id = LogId::new(LeaderId { term: TERM, node_id: 1 }, index);
        let entry = Entry::new(id, EntryPayload::Normal(proposal));
        LogEntry { index, term: TERM, bytes: codec::to_record(&codec::entry_to_pb(&entry)) }
    }

    /// A directory whose rows are at `applied`, and whose log holds `entries`.
    fn survivor(applied: Option<&State>, entries: Vec<LogEntry>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(dir.path(), Options { ballast_bytes: 0, ..Options::default() }).unwrap();
        if let Some(state) = applied {
            let mut batch = Batch::new();
            for (table, key, value) in state.rows() {
                batch.put(table.number(), &key, &value).unwrap();
            }
            batch.applied(state.applied_index());
            storage.kv().write(batch).unwrap();
        }
        let membership = identity::Membership { cluster_uuid: CLUSTER, node_id: 1, origin: identity::Origin::Founded };
        identity::remember(&storage.identity(), &membership).unwrap();
        storage.log().append(entries, Box::new(|_| {})).unwrap();
        dir
    }

    fn state_of(dir: &Path) -> State {
        let inspector = Inspector::open(dir).unwrap();
        replay(&inspector, &mut unwatched).unwrap().0
    }

    #[test]
    fn entries_that_were_not_applied_yet_are() {
        let key = SealingKey::generate(&SystemRandom::new()).unwrap();
        let mut applied = State::new();
        applied.apply(1, &init(&key));
        let entries =
            vec![stored(1, &init(&key)), stored(2, &federated("one.test")), stored(3, &federated("two.test"))];
        let dir = survivor(Some(&applied), entries);

        let recovered = recover(dir.path(), slice::from_ref(&key), BY, NOW, &mut unwatched).unwrap();
        assert_eq!((recovered.replayed, recovered.done.index), (2, 4));
        let storage = Storage::open(dir.path(), Options { ballast_bytes: 0, ..Options::default() }).unwrap();
        let told = beginning(&storage).unwrap().expect("it remembers");
        assert_eq!((told.by.as_str(), told.uid, told.at_ms), ("recover apply", 7, NOW.as_ms()));
        assert_eq!((told.cluster_uuid, told.index), (CLUSTER, 3));
        drop(storage);
        let state = state_of(dir.path());
        assert!(["one.test", "two.test"].iter().all(|name| state.bundle(&domain(name)).is_some()));
        assert_eq!(state.cluster().unwrap().uuid, recovered.cluster_uuid);
        let member = state.member(recovered.done.node_id).unwrap();
        assert_eq!((member.facts.name.as_str(), member.facts.peer_address.as_str()), ("survivor", "survivor:8082"));

        let survey = survey(dir.path(), &mut unwatched).unwrap();
        assert_eq!(survey.applied.unwrap().index, 4);
        assert_eq!((survey.last_log, survey.node_id), (survey.applied, Some(recovered.done.node_id)));
        assert!(survey.vote.unwrap().term > TERM && survey.applied.unwrap().term > TERM);
        assert_eq!(survey.snapshot.unwrap().applied, Some(4));
        let [member] = &survey.membership[..] else { panic!("{:?}", survey.membership) };
        assert!(member.voter && member.node_id == recovered.done.node_id);
        let mixed = plan(&[dir.path().to_owned(), recovered.kept.unwrap()]);
        assert!(matches!(mixed, Err(PlanError::Clusters(..))), "{mixed:?}");
    }

    #[test]
    fn a_gap_between_rows_and_log_is_not_bridged() {
        let key = SealingKey::generate(&SystemRandom::new()).unwrap();
        let mut applied = State::new();
        applied.apply(1, &init(&key));
        let dir = survivor(Some(&applied), vec![stored(3, &federated("one.test"))]);
        assert!(matches!(
            recover(dir.path(), slice::from_ref(&key), BY, NOW, &mut unwatched),
            Err(RecoverError::Gap { index: 2 })
        ));
        assert!(!dir.path().join("replaced").exists());
    }

    #[test]
    fn another_sealing_key_recovers_nothing() {
        let [key, other] = [(); 2].map(|()| SealingKey::generate(&SystemRandom::new()).unwrap());
        let dir = survivor(None, vec![stored(1, &init(&key))]);
        let refused = recover(dir.path(), slice::from_ref(&other), BY, NOW, &mut unwatched).unwrap_err().to_string();
        assert!(refused.contains("does not open this cluster's keyring"), "{refused}");
        assert!(!dir.path().join("replaced").exists());
        assert_eq!(
            recover(dir.path(), &[other, key], BY, NOW, &mut unwatched).unwrap().replayed,
            1,
            "with either of two"
        );
    }

    #[test]
    fn the_newest_log_is_recovered_from() {
        let key = SealingKey::generate(&SystemRandom::new()).unwrap();
        let short = survivor(None, vec![stored(1, &init(&key))]);
        let long = survivor(None, vec![stored(1, &init(&key)), stored(2, &federated("one.test"))]);
        let order = plan(&[short.path().to_owned(), long.path().to_owned()]).unwrap();
        assert_eq!(order.iter().map(|survey| survey.dir.as_path()).collect::<Vec<_>>(), [long.path(), short.path()]);
    }
}
