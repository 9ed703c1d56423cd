//! Rows: what the state is made of on disk, in snapshots and in the state hash.

/// The tables of the state. The numbers are stored and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row: the replicated clock and the counter of record numbers.
    Meta = 1,
    /// By record number, big-endian, which is the order of creation.
    Entries = 2,
    /// By SPIFFE ID.
    Agents = 3,
    /// By token, or by its digest.
    JoinTokens = 4,
    /// By trust domain name.
    Bundles = 5,
    /// By trust domain name.
    Relationships = 6,
    /// By kind and slot, a byte each.
    Authorities = 7,
    /// One row: the facts that bootstrapping fixed.
    Cluster = 8,
    /// By node id, big-endian.
    Members = 9,
    /// By record number, big-endian: the oldest request first.
    Requests = 10,
    /// By name: the keyring and the peer CA.
    Sealed = 11,
    /// By the URL of the directory.
    AcmeAccounts = 20,
    /// By domain.
    AcmeChallenges = 21,
    /// By domain.
    WebCertificates = 22,
    /// By node id and epoch, both big-endian.
    AuditAnchors = 77,
}

/// One row to write, or to delete when `value` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    pub table: Table,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl Table {
    pub const ALL: [Self; 15] = [
        Self::Meta,
        Self::Entries,
        Self::Agents,
        Self::JoinTokens,
        Self::Bundles,
        Self::Relationships,
        Self::Authorities,
        Self::Cluster,
        Self::Members,
        Self::Requests,
        Self::Sealed,
        Self::AcmeAccounts,
        Self::AcmeChallenges,
        Self::WebCertificates,
        Self::AuditAnchors,
    ];

    pub fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }
}
