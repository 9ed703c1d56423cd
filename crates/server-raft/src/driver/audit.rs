//! The head of this replica's audit chain goes into the Raft log: at the start, after a new file, after so many records
//! and so much time, and at the end. Nothing is proposed while nothing was written.

use std::time::Duration;

use steeple_state::{AuditAnchor, CommandKind, NO_REQUEST, Outcome};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::chain::Head;
use crate::audit::trail::{Position, Progress, Trail};
use crate::raft::{Beginning, Leadership, Origin, ProposeError, Replica, SharedState};

/// Runs on every replica that has an audit file.
#[derive(Clone)]
pub struct AuditDriver {
    pub replica: Replica,
    pub trail: Trail,
    /// After so long at most.
    pub interval: Duration,
}

/// Why the head is not in the log.
#[derive(Debug, thiserror::Error)]
enum AnchorError {
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("the cluster knows another chain: {0}; see `audit verify`")]
    Refused(String),
    #[error("{0}")]
    Unwritten(String),
}

/// Where a replica stands, for its records. It does not keep the replica running.
pub struct ReplicaPosition {
    node_id: u64,
    state: SharedState,
    applied: watch::Receiver<u64>,
    leadership: watch::Receiver<Leadership>,
    beginning: Option<Beginning>,
}

impl ReplicaPosition {
    pub fn of(replica: &Replica, beginning: Option<Beginning>) -> Self {
        Self {
            node_id: replica.node_id(),
            state: replica.state().clone(),
            applied: replica.applied(),
            leadership: replica.leadership(),
            beginning,
        }
    }
}

impl Position for ReplicaPosition {
    fn node_id(&self) -> u64 {
        self.node_id
    }

    fn index_and_term(&self) -> (u64, u64) {
        (*self.applied.borrow(), self.leadership.borrow().term)
    }

    fn anchor(&self) -> Option<AuditAnchor> {
        self.state.read().audit_anchors_of(self.node_id).next_back().map(|kept| kept.anchor.clone())
    }

    fn beginning(&self) -> Option<Beginning> {
        self.beginning.clone()
    }
}

impl AuditDriver {
    /// Until `stop`; [`AuditDriver::end`] is for afterwards. At `reopen` the file is opened anew, as the log's is.
    pub async fn run(self, mut reopen: Signal, stop: CancellationToken) {
        let mut progress = self.trail.progress();
        let mut anchored = Progress::default();
        let mut due = Some(Instant::now());
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = reopen.recv() => self.trail.reopen().await,
                changed = progress.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = *progress.borrow_and_update();
                    due = next_due(due, anchored, now, self.interval, failing);
                }
                () = until(due) => {
                    let now = *progress.borrow_and_update();
                    match self.anchor(false, PROPOSE_TIMEOUT).await {
                        Ok(()) => (anchored, due, failing) = (now, None, false),
                        Err(error) => {
                            if !std::mem::replace(&mut failing, true) {
                                tracing::warn!(%error, "the audit chain is not anchored");
                            }
                            due = Some(Instant::now() + self.interval.min(RETRY));
                        }
                    }
                }
            }
        }
    }

    /// The last record says that the server stops, and the cluster knows it.
    pub async fn end(&self) {
        if let Err(error) = self.anchor(true, END_TIMEOUT).await {
            tracing::warn!(%error, "the end of the audit chain is not anchored");
        }
    }

    async fn anchor(&self, ends: bool, timeout: Duration) -> Result<(), AnchorError> {
        let head = self.trail.head(ends).await.map_err(|unwritten| AnchorError::Unwritten(unwritten.why))?;
        let Head { node_id, epoch, sequence, hash } = head;
        let kind = CommandKind::SetAuditAnchor { anchor: AuditAnchor { node_id, epoch, sequence, hash } };
        let deadline = Instant::now() + timeout;
        let origin = Origin { actor: "audit".to_owned(), request_id: NO_REQUEST, deadline };
        match self.replica.propose(kind, origin).await? {
            Outcome::Rejected(why) => Err(AnchorError::Refused(why.message)),
            _ => Ok(()),
        }
    }
}

/// When to anchor, after `now` was written of which `anchored` is in the log.
fn next_due(
    due: Option<Instant>,
    anchored: Progress,
    now: Progress,
    interval: Duration,
    failing: bool,
) -> Option<Instant> {
    let is_much = now.records.saturating_sub(anchored.records) >= RECORDS_MAX || now.files != anchored.files;
    match due {
        // A failure has its own pace.
        Some(due) if failing => Some(due),
        _ if is_much => Some(Instant::now()),
        Some(due) => Some(due),
        None => (now.records > anchored.records).then(|| Instant::now() + interval),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Records that may be written before the cluster knows of them, whatever the interval.
const RECORDS_MAX: u64 = 4_096;
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);
/// A server that stops does not wait for a quorum for long.
const END_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_is_nothing_due() {
        let at = |records, files| Progress { records, files };
        let hour = Duration::from_secs(3600);
        assert_eq!(next_due(None, at(5, 0), at(5, 0), hour, false), None);
        let later = next_due(None, at(5, 0), at(6, 0), hour, false).expect("an instant");
        assert!(later > Instant::now() + hour / 2);
        assert_eq!(next_due(Some(later), at(5, 0), at(7, 0), hour, false), Some(later), "it is not put off");
        for much in [at(5 + RECORDS_MAX, 0), at(6, 1)] {
            assert!(next_due(Some(later), at(5, 0), much, hour, false).is_some_and(|due| due <= Instant::now()));
            assert_eq!(next_due(Some(later), at(5, 0), much, hour, true), Some(later));
        }
    }
}
