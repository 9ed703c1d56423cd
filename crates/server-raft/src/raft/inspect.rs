//! A look into a data directory that changes nothing: for `log inspect` and for the plan of a recovery.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use serde::Serialize;
use steeple_api::steeple::peer as pb;
use steeple_state::codec::decode_commands;
use steeple_storage::{Inspector, LogEntry, SnapshotInfo, StorageError};

use super::codec::{self, CodecError};
use super::identity::shown;
use super::state_machine::{META_LAST_APPLIED, META_MEMBERSHIP};
use super::types::{Entry, LogId, Membership, NodeId};
use crate::watched::Watcher;

/// A place in the log. Greater is newer, as Raft compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    pub term: u64,
    /// The leader that wrote it.
    pub node_id: NodeId,
    pub index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct VoteGiven {
    pub term: u64,
    pub node_id: NodeId,
    /// Whether that node is known to have won.
    pub committed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Participant {
    pub node_id: NodeId,
    pub name: String,
    pub address: String,
    pub voter: bool,
}

/// What a directory says about itself, without its log entries.
#[derive(Clone, Debug, Serialize)]
pub struct Survey {
    pub dir: PathBuf,
    /// A server runs on it.
    pub in_use: bool,
    /// That server, where it is known.
    pub process: Option<u32>,
    pub storage_format: u32,
    pub cluster_uuid: Option<String>,
    pub storage_uuid: Option<String>,
    pub node_id: Option<NodeId>,
    pub vote: Option<VoteGiven>,
    /// Everything up to here is in the snapshot only.
    pub purged: Option<Position>,
    pub last_log: Option<Position>,
    /// The last entry that this replica knew to be committed; more may be.
    pub committed: Option<Position>,
    pub applied: Option<Position>,
    /// By the last word of the log, committed or not.
    pub membership: Vec<Participant>,
    /// The voters of that membership; two sets in the middle of a change. A quorum is a majority of each.
    #[serde(skip)]
    pub voters: Vec<BTreeSet<NodeId>>,
    pub snapshot: Option<SnapshotShown>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotShown {
    pub applied: Option<u64>,
    pub rows: u64,
    pub size_bytes: u64,
    pub sha256: String,
}

/// One log entry, without anything that could be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryShown {
    pub position: Position,
    /// `blank`, `membership` or `commands`.
    pub kind: &'static str,
    pub size_bytes: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandShown>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub membership: Vec<Participant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandShown {
    pub name: &'static str,
    pub actor: String,
    /// Unix time in milliseconds.
    pub at_ms: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("a record of the log cannot be read: {0}")]
    Record(#[from] CodecError),
    #[error("log entry {index} cannot be read: {reason}")]
    Entry { index: u64, reason: String },
}

/// Reads all of the log for its last membership.
pub fn survey(dir: &Path, watcher: Watcher<'_>) -> Result<Survey, InspectError> {
    let inspector = Inspector::open(dir)?;
    let in_use = inspector.in_use()?;
    let summary = inspector.summary()?;
    let position = |record: Option<&[u8]>| -> Result<Option<Position>, CodecError> {
        record.map(|record| Ok(Position::of(&codec::log_id_from_pb(&codec::from_record(record)?)))).transpose()
    };
    let vote = summary.vote.as_deref().map(codec::from_record::<pb::Vote>).transpose()?;
    let purged = position(summary.purged.as_ref().map(|purged| &purged.id[..]))?;
    let mut membership = match inspector.meta(META_MEMBERSHIP)? {
        Some(record) => {
            let stored = codec::stored_membership_from_pb(codec::from_record(&record)?)?;
            stored.membership().clone()
        }
        None => Membership::default(),
    };
    let mut last_log = purged;
    let (begin, end) = (purged.map_or(0, |purged| purged.index), inspector.last_index()?.unwrap_or(0));
    for stored in inspector.entries(0)? {
        let entry = decoded(&stored?)?;
        watcher(entry.log_id().index().saturating_sub(begin), end.saturating_sub(begin));
        last_log = Some(Position::of(&entry.log_id()));
        if let EntryPayload::Membership(newer) = &entry.payload {
            membership = newer.clone();
        }
    }
    let known = shown(&summary.identity);
    Ok(Survey {
        dir: dir.to_path_buf(),
        in_use: in_use.is_some(),
        process: in_use.and_then(|in_use| in_use.process),
        storage_format: summary.format,
        cluster_uuid: known.cluster_uuid,
        storage_uuid: known.storage_uuid,
        node_id: known.node_id,
        vote: vote.map(|vote| VoteGiven { term: vote.term, node_id: vote.node_id, committed: vote.committed }),
        purged,
        last_log,
        committed: position(summary.committed.as_deref())?,
        applied: position(inspector.meta(META_LAST_APPLIED)?.as_deref())?,
        membership: participants(&membership),
        voters: membership.get_joint_config().to_vec(),
        snapshot: inspector.snapshot()?.map(SnapshotShown::from),
    })
}

/// At most `limit` entries from the index `from` on; one that cannot be read is told and the others follow.
pub fn log_entries(
    dir: &Path,
    from: u64,
    limit: usize,
    watcher: Watcher<'_>,
) -> Result<Vec<Result<EntryShown, String>>, InspectError> {
    let inspector = Inspector::open(dir)?;
    let stored = inspector.entries(from)?.take(limit);
    let left = inspector.last_index()?.unwrap_or(0).saturating_add(1).saturating_sub(from);
    let total = left.min(limit as u64);
    let shown = stored.zip(1..).map(|(stored, number)| {
        watcher(number, total);
        let stored = stored.map_err(|error| error.to_string())?;
        show(&stored).map_err(|error| error.to_string())
    });
    Ok(shown.collect())
}

fn show(stored: &LogEntry) -> Result<EntryShown, InspectError> {
    let entry = decoded(stored)?;
    let (kind, commands, membership) = match &entry.payload {
        EntryPayload::Blank => ("blank", Vec::new(), Vec::new()),
        EntryPayload::Membership(membership) => ("membership", Vec::new(), participants(membership)),
        EntryPayload::Normal(proposal) => {
            let decoded = decode_commands(&proposal.commands);
            let commands =
                decoded.map_err(|error| InspectError::Entry { index: stored.index, reason: error.to_string() })?;
            let shown = commands.iter().map(|command| CommandShown {
                name: command.kind.name(),
                actor: command.actor.clone(),
                at_ms: command.at.as_ms(),
            });
            ("commands", shown.collect(), Vec::new())
        }
    };
    let position = Position::of(&entry.log_id());
    Ok(EntryShown { position, kind, size_bytes: stored.bytes.len(), commands, membership })
}

pub(super) fn decoded(stored: &LogEntry) -> Result<Entry, InspectError> {
    let entry = codec::from_record(&stored.bytes).and_then(codec::entry_from_pb);
    entry.map_err(|error| InspectError::Entry { index: stored.index, reason: error.to_string() })
}

fn participants(membership: &Membership) -> Vec<Participant> {
    let voters: Vec<NodeId> = membership.voter_ids().collect();
    let nodes = membership.nodes().map(|(node_id, node)| Participant {
        node_id: *node_id,
        name: node.name.clone(),
        address: node.address.clone(),
        voter: voters.contains(node_id),
    });
    nodes.collect()
}

impl Position {
    fn of(id: &LogId) -> Self {
        let leader = id.committed_leader_id();
        Self { term: leader.term, node_id: leader.node_id, index: id.index() }
    }
}

impl From<SnapshotInfo> for SnapshotShown {
    fn from(info: SnapshotInfo) -> Self {
        let SnapshotInfo { applied, rows, size_bytes, sha256, .. } = info;
        Self { applied, rows, size_bytes, sha256: hex::encode(sha256) }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "index {} of term {} (node {})", self.index, self.term, self.node_id)
    }
}
