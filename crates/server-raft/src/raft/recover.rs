//! After the loss of a quorum for good: one survivor becomes the only member of a new cluster with the same state.
//!
//! Everything that the survivor's log holds is taken as committed. That includes entries that never were; what other
//! replicas acknowledged and this one never received is lost. The old store is read, kept, and not changed.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use openraft::EntryPayload;
use steeple_ca::seal::SealingKey;
use steeple_core::Timestamp;
use steeple_state::codec::decode_commands;
use steeple_state::{DecodeError, Refounded, State, Table, Uuid};
use steeple_storage::{Inspector, Replacement, StorageError};

use super::identity::shown;
use super::inspect::{InspectError, Survey, decoded, survey};
use super::refound::{NewCluster, RefoundError, refound, write};

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
    let mut survivors = dirs.iter().map(|dir| survey(dir)).collect::<Result<Vec<_>, _>>()?;
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

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("the directories belong to different clusters ({0} and {1}): name those of one cluster")]
    Clusters(String, String),
}

/// Makes `dir` the only member of a new cluster. All of it or nothing.
pub fn recover(dir: &Path, sealing_key: &SealingKey, now: Timestamp) -> Result<Recovered, RecoverError> {
    let replacement = Replacement::of_store(dir)?;
    let survivor = survey(dir)?;
    let inspector = Inspector::open(dir)?;
    let node_id = shown(&inspector.summary()?.identity).node_id.ok_or(RecoverError::NoMember)?;
    let (state, replayed) = replay(&inspector)?;
    drop(inspector);

    let facts = state.member(node_id).map(|member| member.facts.clone());
    let new = NewCluster {
        sealing_key,
        name: facts.as_ref().map(|facts| facts.name.clone()).unwrap_or_default(),
        peer_address: facts.as_ref().map(|facts| facts.peer_address.clone()).unwrap_or_default(),
        api_address: facts.map(|facts| facts.api_address).unwrap_or_default(),
        rotate: false,
        now,
    };
    let reborn = refound(state, &new)?;
    let storage = replacement.open()?;
    let terms = [survivor.vote.map(|vote| vote.term), survivor.last_log.map(|last| last.term)];
    write(&storage, &reborn, terms.into_iter().flatten().max().unwrap_or(0))?;
    drop(storage);
    let kept = replacement.commit()?;
    Ok(Recovered { cluster_uuid: reborn.cluster_uuid, done: reborn.done, replayed, kept })
}

/// The rows, and on top of them every entry of the log.
fn replay(inspector: &Inspector) -> Result<(State, u64), RecoverError> {
    let summary = inspector.summary()?;
    let mut rows = Vec::new();
    for row in inspector.rows()? {
        let row = row?;
        let table = Table::from_number(row.table).ok_or(DecodeError::UnknownContent)?;
        rows.push((table, row.key, row.value));
    }
    let mut state = State::from_rows(summary.applied.unwrap_or(0), rows)?;
    let mut applied = summary.applied;
    let mut replayed = 0;
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
    }
    state.passed(applied.unwrap_or(0));
    Ok((state, replayed))
}
