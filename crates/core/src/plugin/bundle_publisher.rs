//! Shows the trust bundle at another place, for those who ask no server.

use super::BoxFuture;
use crate::Bundle;

/// Any number of these, each with a place of its own.
pub trait BundlePublisher: Send + Sync {
    /// As in the configuration, for instance `k8s_configmap`.
    fn name(&self) -> &str;

    fn place(&self) -> PublishPlace;

    /// Puts `bundle` in the place of what is there. Doing it again does no harm.
    fn publish<'a>(&'a self, bundle: &'a Bundle) -> BoxFuture<'a, Result<(), PublishError>>;
}

/// Whose place it is, and so who writes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishPlace {
    /// One for the whole cluster: the leader writes.
    Shared,
    /// Each replica has its own.
    Replica,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PublishError(pub String);
