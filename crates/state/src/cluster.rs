//! What the cluster knows about itself: who belongs to it, and two sealed documents that all members share.

use steeple_core::TrustDomain;

/// Sixteen random bytes, as a UUID's.
pub type Uuid = [u8; 16];

/// The facts that bootstrapping fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub uuid: Uuid,
    pub trust_domain: TrustDomain,
    /// The id that the next member gets; ids are never used twice, because an empty disk under an old id could vote
    /// against what it once acknowledged.
    pub node_id_next: u64,
    /// Raised when every member's release can follow: [`crate::CommandKind::needs_version`].
    pub version: u32,
    /// How many members vote; the others stand by. 0: all that may.
    pub voters_target: u32,
}

/// What a member tells about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFacts {
    /// Made at random when the disk was first used.
    pub storage_uuid: Uuid,
    /// A label, such as a pod's name.
    pub name: String,
    /// `host:port` of the peer listener, a DNS name where there is one.
    pub peer_address: String,
    /// `host:port` of the SPIRE API.
    pub api_address: String,
}

/// What an operator decided about a member's vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suffrage {
    /// Votes once it is healthy, while the target leaves room.
    #[default]
    Auto,
    /// As `Auto`, before the others and without waiting for its health to last.
    Voter,
    /// Holds the log and does not vote.
    Standby,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub node_id: u64,
    pub facts: MemberFacts,
    pub suffrage: Suffrage,
}

/// A document whose secrets are sealed, with the number of its latest replacement.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// 1 when the cluster was initialised, raised by one at each replacement.
    pub revision: u64,
    pub content: Vec<u8>,
}

/// Which of the shared documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedName {
    Keyring,
    PeerCa,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed(revision {}, {} bytes)", self.revision, self.content.len())
    }
}
