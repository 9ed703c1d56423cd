//! CredentialComposer `uniqueid`, SPIRE's: a subject for each workload, as RFC 5280 (section 4.1.2.6) wants it.

use aws_lc_rs::digest::{SHA256, digest};
use steeple_core::plugin::{ComposeError, CredentialComposer, SubjectNames, WorkloadX509};

/// The first half of the SPIFFE ID's SHA-256, in hex, as `x500UniqueIdentifier`.
#[derive(Clone, Copy, Debug, Default)]
pub struct UniqueId;

impl CredentialComposer for UniqueId {
    fn described(&self) -> String {
        "uniqueid".into()
    }

    fn workload_x509_names(
        &self,
        workload: &WorkloadX509<'_>,
        names: SubjectNames,
    ) -> Result<SubjectNames, ComposeError> {
        let hash = digest(&SHA256, workload.spiffe_id.as_str().as_bytes());
        let (half, _) = hash.as_ref().split_at(HASH_BYTES);
        Ok(SubjectNames { unique_identifier: hex::encode(half), ..names })
    }
}

const HASH_BYTES: usize = 16;

#[cfg(test)]
mod tests;
