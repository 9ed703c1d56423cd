//! What the subject of a workload's X.509-SVID says, for those who read no SPIFFE IDs.

use crate::SpiffeId;

/// Any number of these, in the order of the configuration, each on what the one before it made.
///
/// Whoever signs applies its own, so replicas have to agree: the result depends on the arguments alone, and on what
/// [`Self::described`] tells. What is built in refuses nothing, because a workload must not lose its identity over a
/// name; a program of its own may fail, and then nothing is signed that would lack its names. The SPIFFE ID, the DNS
/// names and SVIDs of servers and agents are nobody's to change.
pub trait CredentialComposer: Send + Sync {
    /// For instance `uniqueid`, with the settings that matter; equal where the results are.
    fn described(&self) -> String;

    /// Called where signatures are made: it may block for as long as one may take.
    fn workload_x509_names(
        &self,
        workload: &WorkloadX509<'_>,
        names: SubjectNames,
    ) -> Result<SubjectNames, ComposeError>;
}

/// Whose SVID it is.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadX509<'a> {
    pub spiffe_id: &'a SpiffeId,
    /// PKIX DER.
    pub public_key: &'a [u8],
    pub dns_names: &'a [String],
}

/// The attributes of a subject that tell workloads apart; empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// `commonName` (2.5.4.3).
    pub common_name: String,
    /// `x500UniqueIdentifier` (2.5.4.45).
    pub unique_identifier: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ComposeError(pub String);
