//! Tasks that act by themselves: they watch the state and the clock, decide through a pure function, do the I/O and
//! propose the result. Those marked "leader" rest while another replica leads.
//!
//! | task | where | decides with |
//! |---|---|---|
//! | [`acme`] | leader | `acme::due_at` |
//! | [`audit`] | every replica with an audit file | what was written, and when |
//! | [`backup`] | leader | the age of the latest backup |
//! | [`ca`] | leader | `ca::lifecycle::plan` |
//! | [`federation`] | leader | `federation::Schedule` |
//! | [`new_sealing_key`] | leader | `seal::next_step` |
//! | [`prune`] | leader | expiry against the clock |
//! | [`publish`] | leader; every replica what it has of its own | the own bundle |
//! | [`reseal`] | leader | `seal::Standing` |
//! | [`roots`] | every replica | the bundles in the state |
//! | [`upstream`] | leader | the bundle of the authority above |
//! | [`web_certificates`] | every replica | the certificates in the state |
//! | [`server_svid`] | every replica | half-life, taint |

pub mod acme;
pub mod audit;
pub mod backup;
pub mod ca;
pub mod ca_log;
pub mod federation;
pub mod new_sealing_key;
pub mod prune;
pub mod publish;
pub mod reseal;
pub mod roots;
pub mod server_svid;
mod start;
pub mod upstream;
pub mod web_certificates;

pub use start::{Told, start};

use std::sync::Arc;
use std::time::Duration;

use steeple_state::{Change, CommandKind, NO_REQUEST, Outcome, Rejection};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::raft::{AppliedEvents, Origin, ProposeError, Replica};

/// Why a driver's step had no effect. It is logged and tried again.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Key(#[from] steeple_ca::KeyError),
    #[error(transparent)]
    Make(#[from] crate::issue::MakeError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("refused: {0}")]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Upstream(#[from] steeple_core::plugin::UpstreamError),
}

/// Proposes on behalf of a driver that runs where the leader is: it decided by this server's clock. Drivers' commands
/// may be repeated, so they carry no request id.
async fn propose(replica: &Replica, actor: &str, kind: CommandKind) -> Result<Outcome, StepError> {
    let deadline = Instant::now() + PROPOSE_TIMEOUT;
    let origin = Origin { actor: actor.to_owned(), request_id: NO_REQUEST, deadline };
    match replica.propose_here(kind, origin).await? {
        Outcome::Rejected(why) => Err(why.into()),
        outcome => Ok(outcome),
    }
}

/// Returns once this replica leads; `None` when the server stops first.
async fn until_leader(replica: &Replica, stop: &CancellationToken) -> Option<()> {
    let mut leadership = replica.leadership();
    tokio::select! {
        () = stop.cancelled() => None,
        leads = leadership.wait_for(|now| now.is_leader) => leads.ok().map(|_| ()),
    }
}

/// Sleeps until `duration` has passed, leadership moved, or the server stops (`false`).
async fn rest(replica: &Replica, duration: Duration, stop: &CancellationToken) -> bool {
    let mut leadership = replica.leadership();
    leadership.mark_unchanged();
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(duration) => true,
        _ = leadership.changed() => !stop.is_cancelled(),
    }
}

/// Waits until something changed that `concerns` the caller, or that was missed and may; false when nothing will change
/// any more.
async fn until_change(events: &mut Receiver<Arc<AppliedEvents>>, concerns: impl Fn(&Change) -> bool) -> bool {
    loop {
        match events.recv().await {
            Ok(applied) if applied.replaced => return true,
            Ok(applied) if applied.events.iter().any(|event| concerns(&event.change)) => return true,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return true,
            Err(RecvError::Closed) => return false,
        }
    }
}

const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);
