//! Workload attestation: from a process to selectors.

use std::time::Duration;

use super::BoxFuture;
use crate::Selector;

/// Tells what a process is. Returns an empty list, not an error, for processes that are not its kind.
pub trait WorkloadAttestor: Send + Sync {
    /// The selector type, for instance `unix`.
    fn name(&self) -> &str;

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>>;

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
