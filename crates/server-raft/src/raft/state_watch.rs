//! Compares this replica's state with the others', and fences the replica that errs.
//!
//! The leader writes a checkpoint into the log: a `Noop`, at which every replica notes its hash, which costs it nothing
//! because the hash is kept up to date. Pings carry the notes, and each replica judges itself (`state_check`). What was
//! found out against a directory is remembered in it, so that a restart does not serve from it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_state::{CommandKind, Uuid};
use steeple_storage::Storage;
use tokio::sync::watch;
use tokio::time::Instant;

use super::consensus::Consensus;
use super::identity;
use super::propose::{Queue, driver_command};
use super::state_check::{Agreement, Checkpoint, Divergence, judge};
use super::types::NodeId;

/// As often as pings bring news.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between two checkpoints at least, however many members come back meanwhile.
const PAUSE: Duration = Duration::from_secs(5);
/// A checkpoint that was not committed by then is not waited for; the next one is on its way.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What this replica knows of how its state compares.
pub(super) struct Comparison {
    diverged: watch::Sender<Option<Divergence>>,
    latest: Mutex<Agreement>,
}

impl Comparison {
    /// `known` is what the directory remembers.
    pub(super) fn new(known: Option<Divergence>) -> Self {
        let latest = known.map_or(Agreement::Unknown, Agreement::Diverged);
        Self { diverged: watch::Sender::new(known), latest: Mutex::new(latest) }
    }

    pub(super) fn divergence(&self) -> Option<Divergence> {
        *self.diverged.borrow()
    }

    pub(super) fn is_diverged(&self) -> bool {
        self.diverged.borrow().is_some()
    }

    /// Members whose state is another one than this replica's.
    pub(super) fn differing(&self) -> usize {
        self.latest.lock().differing()
    }

    /// Resolves when this replica is known to err.
    pub(super) async fn wait(&self) -> Divergence {
        let mut diverged = self.diverged.subscribe();
        loop {
            if let Some(divergence) = *diverged.borrow_and_update() {
                return divergence;
            }
            // The sender lives as long as this.
            let _ = diverged.changed().await;
        }
    }

    /// Notes the news. What is not known yet takes nothing back.
    fn note(&self, agreement: Agreement) {
        if agreement == Agreement::Unknown || self.is_diverged() {
            return;
        }
        let before = std::mem::replace(&mut *self.latest.lock(), agreement);
        match agreement {
            _ if before == agreement => {}
            Agreement::Ours { differing: 0 } | Agreement::Unknown => {}
            Agreement::Ours { differing } => {
                tracing::error!(differing, "the state of other replicas differs from that of the quorum");
            }
            Agreement::Undecided { differing } => {
                tracing::error!(differing, "the replicas hold different states, and no quorum holds one of them");
            }
            Agreement::Diverged(divergence) => {
                tracing::error!("{divergence}");
                self.diverged.send_replace(Some(divergence));
            }
        }
    }
}

/// Runs while this replica lives; writes checkpoints while it leads. `cluster_uuid` is the directory's.
pub(super) async fn compare(storage: Storage, consensus: Arc<Consensus>, queue: Queue, cluster_uuid: Uuid) {
    let mut checked_at = Instant::now();
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        looks.tick().await;
        if consensus.leadership.borrow().is_leader && is_due(&consensus, checked_at.elapsed()) {
            checked_at = Instant::now();
            let checkpoint = driver_command("state check", CommandKind::Noop);
            if let Err(refusal) = queue.submit(checkpoint, Instant::now() + COMMIT_TIMEOUT).await {
                tracing::debug!(?refusal, "no checkpoint was written");
            }
        }
        let agreement = agreement(&consensus);
        if let Agreement::Diverged(divergence) = &agreement
            && !consensus.comparison.is_diverged()
            && let Err(error) = identity::remember_divergence(&storage.identity(), &cluster_uuid, divergence)
        {
            tracing::error!(%error, "that this state is wrong could not be written down");
        }
        consensus.comparison.note(agreement);
    }
}

/// Each minute, and soon when somebody has nothing to compare, such as a member that was started again.
fn is_due(consensus: &Consensus, since: Duration) -> bool {
    let others = members(consensus);
    if others.is_empty() {
        return false;
    }
    let latest = consensus.published.checkpoints().last().map_or(0, |checkpoint| checkpoint.index);
    let lacks_it = |id: &NodeId| {
        consensus.reports.fresh(*id).is_some_and(|report| {
            report.applied_index >= latest && report.checkpoint.is_some_and(|theirs| theirs.index < latest.max(1))
        })
    };
    since >= consensus.timing.state_check_every || since >= PAUSE && (latest == 0 || others.iter().any(lacks_it))
}

fn agreement(consensus: &Consensus) -> Agreement {
    let voters: BTreeSet<NodeId> = consensus.raft.voter_ids().collect();
    let reports = members(consensus).into_iter().filter_map(|id| Some((id, consensus.reports.of(id)?.checkpoint?)));
    let theirs: BTreeMap<NodeId, Checkpoint> = reports.collect();
    judge(consensus.node_id, &voters, consensus.published.checkpoints(), &theirs)
}

/// The other nodes of the Raft membership.
fn members(consensus: &Consensus) -> Vec<NodeId> {
    let membership = consensus.metrics().membership_config;
    membership.nodes().map(|(id, _)| *id).filter(|id| *id != consensus.node_id).collect()
}
