//! What a command changed, for drivers and watch streams. The index is the log's: watch cursors are made of it.

use std::sync::Arc;

use steeple_core::{AuthorityKind, Entry, SpiffeId, TrustDomain};

/// One change, at the log index of the command that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub index: u64,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Agent {
        id: SpiffeId,
        change: AgentChange,
    },
    Authority {
        kind: AuthorityKind,
    },
    Bundle {
        trust_domain: TrustDomain,
    },
    /// The cluster was initialised.
    Cluster,
    /// Created (`before` is `None`), deleted (`after` is `None`) or updated.
    Entry {
        before: Option<Arc<Entry>>,
        after: Option<Arc<Entry>>,
    },
    Keyring {
        revision: u64,
    },
    Members,
    PeerCa {
        revision: u64,
    },
    Relationship {
        trust_domain: TrustDomain,
    },
    WebCertificate {
        domain: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentChange {
    Attested,
    Banned,
    Deleted,
    /// A renewed serial was handed out.
    Pending,
    /// The renewed serial was used and is current now.
    Promoted,
    Version,
}
