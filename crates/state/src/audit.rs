//! Heads of the replicas' audit chains: what an audit file of each held at an instant, kept where that replica alone
//! cannot change it.

use steeple_core::Timestamp;

/// The head of one replica's chain: the record `sequence` has the hash `hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAnchor {
    pub node_id: u64,
    /// Names the chain: Unix milliseconds of its beginning. A replica begins another one where it cannot continue.
    pub epoch: u64,
    /// Of the record, from 1 on.
    pub sequence: u64,
    /// SHA-256.
    pub hash: [u8; 32],
}

/// As it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnchor {
    pub anchor: AuditAnchor,
    /// The log index of the command that told it last.
    pub index: u64,
    /// The replicated clock at that index.
    pub at: Timestamp,
}
