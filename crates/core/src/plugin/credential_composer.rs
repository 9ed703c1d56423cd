//! What the subject of a workload's X.509-SVID says, for those who read no SPIFFE IDs.

use crate::SpiffeId;

/// Any number of these, in the order of the configuration, each on what the one before it made.
///
/// Whoever signs applies its own, so replicas have to agree: the result depends on the arguments alone, and on what
/// [`Self::described`] tells. Nothing is refused here, because a workload must not lose its identity over a name. The
/// SPIFFE ID, the DNS names and SVIDs of servers and agents are nobody's to change.
pub trait CredentialComposer: Send + Sync {
    /// For instance `uniqueid`, with the settings that matter; equal where the results are.
    fn described(&self) -> String;

    fn workload_x509_names(&self, spiffe_id: &SpiffeId, names: SubjectNames) -> SubjectNames;
}

/// The attributes of a subject that tell workloads apart; empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// `commonName` (2.5.4.3).
    pub common_name: String,
    /// `x500UniqueIdentifier` (2.5.4.45).
    pub unique_identifier: String,
}
