//! openraft's values as our protobuf, for the wire and for the disk, and back. Nothing else knows both.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use prost::Message;
use steeple_api::steeple::peer as pb;
use steeple_core::Timestamp;
use steeple_state::StateHash;

use super::state_check::Checkpoint;
use super::types::{Entry, LeaderId, LogId, Membership, Node, NodeId, Proposal, SnapshotMeta, StoredMembership, Vote};

/// First byte of every record on disk. A newer release that writes another version is not read by this one.
const RECORD_VERSION: u8 = 1;

/// A message or record that is not ours, or not of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the record is empty")]
    Empty,
    #[error("the record has version {found}, this release reads {RECORD_VERSION}; start the release that wrote it")]
    Version { found: u8 },
    #[error("not a valid message: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("the message lacks its {field}")]
    Missing { field: &'static str },
    #[error("the membership is not valid: {reason}")]
    Membership { reason: String },
}

impl From<CodecError> for std::io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A record for the disk: version byte, then the message.
pub(super) fn to_record(message: &impl Message) -> Vec<u8> {
    let mut record = Vec::with_capacity(1 + message.encoded_len());
    record.push(RECORD_VERSION);
    record.extend_from_slice(&message.encode_to_vec());
    record
}

pub(super) fn from_record<M: Message + Default>(record: &[u8]) -> Result<M, CodecError> {
    match record.split_first() {
        None => Err(CodecError::Empty),
        Some((&RECORD_VERSION, message)) => Ok(M::decode(message)?),
        Some((&found, _)) => Err(CodecError::Version { found }),
    }
}

pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, CodecError> {
    value.ok_or(CodecError::Missing { field })
}

pub(super) fn vote_to_pb(vote: &Vote) -> pb::Vote {
    pb::Vote { term: vote.leader_id.term, node_id: vote.leader_id.node_id, committed: vote.committed }
}

pub(super) fn vote_from_pb(vote: &pb::Vote) -> Vote {
    Vote { leader_id: LeaderId { term: vote.term, node_id: vote.node_id }, committed: vote.committed }
}

pub(super) fn log_id_to_pb(id: &LogId) -> pb::LogId {
    pb::LogId { term: id.committed_leader_id().term, node_id: id.committed_leader_id().node_id, index: id.index() }
}

pub(super) fn log_id_from_pb(id: &pb::LogId) -> LogId {
    LogId::new(LeaderId { term: id.term, node_id: id.node_id }, id.index)
}

pub(super) fn node_to_pb(node_id: NodeId, node: &Node) -> pb::Node {
    pb::Node {
        node_id,
        name: node.name.clone(),
        address: node.address.clone(),
        storage_uuid: node.storage_uuid.to_vec(),
    }
}

fn node_from_pb(node: pb::Node) -> Result<(NodeId, Node), CodecError> {
    let storage_uuid = node.storage_uuid.try_into().map_err(|_| CodecError::Missing { field: "storage UUID" })?;
    Ok((node.node_id, Node { name: node.name, address: node.address, storage_uuid }))
}

fn membership_to_pb(membership: &Membership) -> pb::Membership {
    let voter_set = |ids: &BTreeSet<NodeId>| pb::VoterSet { node_ids: ids.iter().copied().collect() };
    pb::Membership {
        configs: membership.get_joint_config().iter().map(voter_set).collect(),
        nodes: membership.nodes().map(|(id, node)| node_to_pb(*id, node)).collect(),
    }
}

fn membership_from_pb(membership: pb::Membership) -> Result<Membership, CodecError> {
    let configs = membership.configs.into_iter().map(|set| set.node_ids.into_iter().collect()).collect();
    let nodes = membership.nodes.into_iter().map(node_from_pb).collect::<Result<BTreeMap<_, _>, _>>()?;
    Membership::new(configs, nodes).map_err(|error| CodecError::Membership { reason: error.to_string() })
}

pub(super) fn stored_membership_to_pb(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_pb),
        membership: Some(membership_to_pb(stored.membership())),
    }
}

pub(super) fn stored_membership_from_pb(stored: pb::StoredMembership) -> Result<StoredMembership, CodecError> {
    let membership = membership_from_pb(stored.membership.unwrap_or_default())?;
    Ok(StoredMembership::new(stored.log_id.as_ref().map(log_id_from_pb), membership))
}

pub(super) fn entry_to_pb(entry: &Entry) -> pb::LogEntry {
    use pb::log_entry::Payload;
    let (payload, stamped_at_ms) = match &entry.payload {
        EntryPayload::Blank => (Payload::Blank(pb::Blank {}), 0),
        EntryPayload::Normal(proposal) => (Payload::Commands(proposal.commands.to_vec()), proposal.stamped_at.as_ms()),
        EntryPayload::Membership(membership) => (Payload::Membership(membership_to_pb(membership)), 0),
    };
    pb::LogEntry { log_id: Some(log_id_to_pb(&entry.log_id())), payload: Some(payload), stamped_at_ms }
}

pub(super) fn entry_from_pb(entry: pb::LogEntry) -> Result<Entry, CodecError> {
    use pb::log_entry::Payload;
    let log_id = log_id_from_pb(&required(entry.log_id, "log id")?);
    let payload = match required(entry.payload, "payload")? {
        Payload::Blank(_) => EntryPayload::Blank,
        Payload::Commands(commands) => EntryPayload::Normal(Proposal {
            stamped_at: Timestamp::from_ms(entry.stamped_at_ms),
            commands: Bytes::from(commands),
        }),
        Payload::Membership(membership) => EntryPayload::Membership(membership_from_pb(membership)?),
    };
    Ok(Entry::new(log_id, payload))
}

pub(super) fn snapshot_meta_to_pb(meta: &SnapshotMeta) -> pb::SnapshotMeta {
    pb::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_pb),
        membership: Some(stored_membership_to_pb(&meta.last_membership)),
    }
}

pub(super) fn snapshot_meta_from_pb(meta: pb::SnapshotMeta) -> Result<SnapshotMeta, CodecError> {
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_from_pb),
        last_membership: stored_membership_from_pb(meta.membership.unwrap_or_default())?,
    })
}

/// Index 0 before the first.
pub(super) fn checkpoint_to_pb(checkpoint: Option<&Checkpoint>) -> pb::Checkpoint {
    checkpoint.map_or_else(pb::Checkpoint::default, |checkpoint| pb::Checkpoint {
        index: checkpoint.index,
        state_hash: checkpoint.hash.to_bytes().to_vec(),
    })
}

/// One whose hash is none is as good as none.
pub(super) fn checkpoint_from_pb(checkpoint: &pb::Checkpoint) -> Checkpoint {
    match checkpoint.state_hash.as_slice().try_into() {
        Ok(hash) => Checkpoint { index: checkpoint.index, hash: StateHash::from_bytes(hash) },
        Err(_) => Checkpoint { index: 0, hash: StateHash::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: EntryPayload<Proposal, NodeId, Node>) -> Entry {
        Entry::new(LogId::new(LeaderId { term: 7, node_id: 3 }, 42), payload)
    }

    #[test]
    fn entries_survive_the_disk() {
        let node = Node { name: "a".into(), address: "a.example:8083".into(), storage_uuid: [7; 16] };
        let membership = Membership::new(
            vec![BTreeSet::from([1, 2]), BTreeSet::from([1])],
            BTreeMap::from([(1, node.clone()), (2, node)]),
        )
        .expect("valid");
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Proposal {
                stamped_at: Timestamp::from_ms(-5),
                commands: Bytes::from_static(b"\x01abc"),
            }),
            EntryPayload::Membership(membership),
        ] {
            let before = entry(payload);
            let record = to_record(&entry_to_pb(&before));
            let after = entry_from_pb(from_record(&record).expect("our record")).expect("our entry");
            assert_eq!(after, before);
        }
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(from_record::<pb::LogId>(&[9]), Err(CodecError::Version { found: 9 }));
        assert_eq!(from_record::<pb::LogId>(&[]), Err(CodecError::Empty));
    }
}
