//! What a caller of the replica can meet. Services map these to gRPC codes in one place.

use std::time::Duration;

use steeple_core::TrustDomain;

use super::types::NodeId;
use crate::seal::ServerSealed;

/// Why a proposal has no outcome. A command that the state refused is an outcome, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was written. `Unavailable`.
    #[error("no leader could be reached within {waited:?}; retry, and see `cluster status` if it lasts")]
    NoLeader { waited: Duration },
    /// It may or may not have been written, or may still be. A retry with the same request id is not a second effect.
    /// `Unavailable` (or `DeadlineExceeded` when the client set the deadline).
    #[error("the write was not confirmed within {waited:?}; it may still take effect: look before you retry")]
    Timeout { waited: Duration },
    /// Nothing was written. `ResourceExhausted`.
    #[error("the server has {queued} writes waiting, which is its limit; retry after {retry_after:?}")]
    Overloaded { queued: usize, retry_after: Duration },
    /// Nothing was written. `InvalidArgument`.
    #[error("the command has {bytes} bytes, more than the {bytes_max} that one log entry may carry")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// Nothing was written. `Unavailable`: another replica is about to lead.
    #[error("the leader's clock is {offset_ms} ms off the median of the quorum; set the clock of node {node_id}")]
    ClockSkew { node_id: NodeId, offset_ms: i64 },
    /// Nothing was written. `ResourceExhausted`: what makes room is still taken.
    #[error(
        "the disk of node {node_id}, which leads, is nearly full: {available_mib} MiB are left; \
         free space or grow its volume, deletions are still taken"
    )]
    NoSpace { node_id: NodeId, available_mib: u64 },
    /// Nothing was written. `FailedPrecondition`.
    #[error("this needs cluster version {needs}, and the cluster is at {has}; run `cluster finalize`")]
    NotFinalized { needs: u32, has: u32 },
    /// The replica stopped, or stopped itself because its storage failed. `Unavailable`.
    #[error("this replica has stopped: {reason}")]
    Stopped { reason: String },
    /// Nothing was written. `Unavailable`: other replicas take it.
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
}

/// The consensus of this replica has stopped, which it does when it cannot trust its storage any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this replica has stopped ({reason}); mend what that names, then start the server again")]
pub struct Failed {
    pub reason: String,
}

/// Why one attempt at a proposal failed; the caller may try again elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing was written.
    NotLeader,
    /// Perhaps written, perhaps not yet.
    Ambiguous,
    Overloaded {
        queued: usize,
    },
    TooLarge {
        bytes: usize,
        bytes_max: usize,
    },
    ClockSkew {
        node_id: NodeId,
        offset_ms: i64,
    },
    NoSpace {
        node_id: NodeId,
        available_bytes: u64,
    },
    NotFinalized {
        needs: u32,
        has: u32,
    },
    Stopped(StopReason),
    Sealed(ServerSealed),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StopReason(pub(super) String);

/// Why a read cannot be answered. `Unavailable` in every case: never a short or an empty list instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("no leader could confirm the read within {waited:?}; retry, and see `cluster status` if it lasts")]
    NoLeader { waited: Duration },
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    #[error("this replica is {behind} entries behind after {waited:?}; retry")]
    Behind { behind: u64, waited: Duration },
    #[error("this replica has stopped: {reason}")]
    Stopped { reason: String },
}

/// Why a replica does not start. Each says what to do, because a person reads it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("storage: {0}")]
    Storage(#[from] steeple_storage::StorageError),
    #[error("raft configuration: {0}")]
    Config(String),
    #[error("raft: {0}")]
    Raft(String),
    #[error("peer port: {0}")]
    Peer(#[from] crate::peer::PeerError),
    #[error("raft threads: {0}")]
    Threads(#[source] std::io::Error),
    #[error("the stored state cannot be used: {0}")]
    State(String),
    #[error("the data directory holds trust domain {stored}, the configuration says {configured}; correct one of them")]
    TrustDomain { stored: TrustDomain, configured: TrustDomain },
}
