//! The openraft types of this cluster: raw command bytes in, applied outcomes out.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_adv;
use steeple_core::Timestamp;
use steeple_state::{Outcome, Uuid};

/// Allocated by the cluster and never reused: the id of one disk's log.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// Terms may see several leaders by id (openraft's default, which its own fuzzing exercises), so a fence compares
    /// term and node.
    pub TypeConfig:
        D = Proposal,
        R = Outcomes,
        NodeId = NodeId,
        Node = Node,
        Term = u64,
        LeaderId = leader_id_adv::LeaderId<u64, NodeId>,
);

pub type Raft = openraft::Raft<TypeConfig, super::state_machine::StateMachine>;
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
pub type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
pub type Membership = openraft::Membership<NodeId, Node>;
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub type Metrics = openraft::RaftMetrics<TypeConfig>;

/// The commands of one log entry in the state crate's encoding. Replication passes the bytes on without decoding them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Proposal {
    /// The stamp that all of them carry.
    pub stamped_at: Timestamp,
    pub commands: Bytes,
}

/// What applying an entry gave, one per command.
#[derive(Debug, Default)]
pub struct Outcomes(pub Vec<Outcome>);

/// A replica as the membership names it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Node {
    /// A label for people, such as the pod's name.
    pub name: String,
    /// `host:port` of its peer port, resolved at every dial.
    pub address: String,
    /// Identity of its disk.
    pub storage_uuid: Uuid,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commands of {} bytes", self.commands.len())
    }
}
