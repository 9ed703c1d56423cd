//! Signing: who does it, and what can go wrong on the way there.

use std::time::Duration;

use steeple_api::steeple::peer::{SignItem, SignResult};

use crate::seal::ServerSealed;

/// Signs on this replica, for its own services and for followers. Implemented by the module that holds the authorities.
///
/// The items were authorized by the replica that sends them; what is left to decide here is the authority, the serial
/// and the fence: check, sign, check again, release.
#[tonic::async_trait]
pub trait SigningHandler: Send + Sync + 'static {
    /// Whether voters that do not lead use their handler too.
    fn on_every_voter(&self) -> bool;

    /// Credential composers in their order, each as it describes itself: all replicas should have the same.
    fn composers(&self) -> Vec<String>;

    /// One result for each item, in order. Never fewer. When the fence falls, nothing that was signed is released.
    async fn sign(&self, items: Vec<SignItem>) -> Result<Vec<SignResult>, SignError>;
}

/// Why a batch has no results at all. `Unavailable` unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("no leader could be reached for signing within {waited:?}; retry")]
    NoLeader { waited: Duration },
    #[error("this server does not sign yet; retry")]
    NotReady,
    #[error("{why}; retry")]
    Fenced { why: String },
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    /// `ResourceExhausted`, with the time after which to come back.
    #[error("{why}")]
    Busy { why: String, retry_after: Duration },
}

/// Items in one batch: what a follower sends in one message and the leader signs in a few milliseconds.
pub const SIGN_ITEMS_MAX: usize = 512;
