//! Workload attestation: from a process to selectors.

use std::time::Duration;

use super::BoxFuture;
use crate::{Selector, SpiffeId};

/// Tells what a process is. Returns an empty list, not an error, for processes that are not its kind.
pub trait WorkloadAttestor: Send + Sync {
    /// The selector type, for instance `unix`.
    fn name(&self) -> &str;

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>>;

    /// What a broker refers to, as far as this attestor reads such references. Of pids [`Self::attest`] is asked
    /// instead where it does not.
    fn attest_reference<'a>(
        &'a self,
        _reference: &'a WorkloadReference,
    ) -> BoxFuture<'a, Result<Vec<Selector>, ReferenceError>> {
        Box::pin(async { Err(ReferenceError::Unread) })
    }

    /// How long to wait for an answer. One that has not come by then is a failure: a hanging attestor must not hold a
    /// workload for ever.
    fn answer_time_max(&self) -> Duration {
        ANSWER_TIME_MAX
    }
}

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// The process on the other end of a Unix socket, as the kernel told at accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadProcess {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorkloadError(pub String);

/// A workload by something else than the socket it calls on: a `google.protobuf.Any`, and who refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadReference {
    pub type_url: String,
    pub value: Vec<u8>,
    pub caller: SpiffeId,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not read references of this type, or none at all.
    #[error("references of this type are not read")]
    Unread,
    /// `code` is a gRPC code.
    #[error("{message}")]
    Refused { code: i32, message: String },
}
