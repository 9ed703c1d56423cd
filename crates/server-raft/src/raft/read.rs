//! Reads: linearizable through a read index of the leader, or local.
//!
//! Concurrent reads share one round to the quorum. A read joins only a round that begins after it arrived, so the index
//! it waits for covers every write acknowledged before it was called.

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::clock_guard::Verdict;
use super::consensus::{Consensus, Route};
use super::error::{ReadError, StopReason};
use super::forward::{RETRY_PAUSE, next_try};
use super::remote;
use super::state_lock::{SharedState, StateRead};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Sees every write that was acknowledged, on any replica, before the read began. Needs a leader with a quorum.
    Linearizable,
    /// What this replica has: at most as old as the last heartbeat while it has a leader.
    Local,
}

/// The right to look at the state, at least as new as the mode asked for.
pub struct View {
    state: SharedState,
    /// The log index that the state includes.
    pub index: u64,
}

/// Reads that wait for the next round. Beyond it they are refused, as the server is then far behind anyway.
const READS_WAITING_MAX: usize = 16 * 1024;

impl View {
    /// Keep it short, and never across an `.await`: the replica cannot apply meanwhile.
    pub fn state(&self) -> StateRead<'_> {
        self.state.read()
    }
}

type RoundResult = Result<u64, RoundFailure>;

#[derive(Clone, Debug)]
pub(super) enum RoundFailure {
    NoLeader,
    Stopped(StopReason),
}

#[derive(Clone)]
pub(super) struct ReadIndexQueue {
    sender: mpsc::Sender<oneshot::Sender<RoundResult>>,
}

pub(super) struct ReadIndexRounds {
    consensus: Arc<Consensus>,
    waiting: mpsc::Receiver<oneshot::Sender<RoundResult>>,
}

impl ReadIndexRounds {
    pub(super) fn new(consensus: Arc<Consensus>) -> (ReadIndexQueue, Self) {
        let (sender, waiting) = mpsc::channel(READS_WAITING_MAX);
        (ReadIndexQueue { sender }, Self { consensus, waiting })
    }

    /// Ends when every queue is gone.
    pub(super) async fn run(mut self) {
        let mut joined = Vec::new();
        while self.waiting.recv_many(&mut joined, READS_WAITING_MAX).await > 0 {
            let result = round(&self.consensus).await;
            for reader in joined.drain(..) {
                let _ = reader.send(result.clone());
            }
        }
    }
}

pub(super) async fn read(
    consensus: &Consensus,
    rounds: &ReadIndexQueue,
    mode: ReadMode,
    deadline: Instant,
) -> Result<View, ReadError> {
    let view = |index| View { state: consensus.published.state.clone(), index };
    if let Some(divergence) = consensus.comparison.divergence() {
        return Err(ReadError::Stopped { reason: divergence.to_string() });
    }
    if mode == ReadMode::Local {
        return Ok(view(*consensus.published.applied.borrow()));
    }
    consensus.sealing_key.check()?;
    if consensus.leads_alone() && consensus.stopped().is_none() {
        return Ok(view(*consensus.published.applied.borrow()));
    }
    let started = Instant::now();
    let mut leadership = consensus.leadership.clone();
    loop {
        leadership.mark_unchanged();
        match join_round(rounds, deadline).await {
            Ok(index) => {
                if consensus.applied_at_least(index, deadline).await {
                    return Ok(view(index));
                }
                let behind = index.saturating_sub(*consensus.published.applied.borrow());
                return Err(ReadError::Behind { behind, waited: started.elapsed() });
            }
            Err(RoundFailure::Stopped(reason)) => return Err(ReadError::Stopped { reason: reason.0 }),
            Err(RoundFailure::NoLeader) => {
                if deadline.saturating_duration_since(Instant::now()) <= RETRY_PAUSE {
                    return Err(ReadError::NoLeader { waited: started.elapsed() });
                }
                next_try(&mut leadership).await;
            }
        }
    }
}

async fn join_round(queue: &ReadIndexQueue, deadline: Instant) -> RoundResult {
    let (answer, index) = oneshot::channel();
    queue.sender.try_send(answer).map_err(|_| RoundFailure::NoLeader)?;
    match tokio::time::timeout_at(deadline, index).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err(RoundFailure::NoLeader),
    }
}

/// One confirmation by a quorum that the leader still leads, here or at the leader.
async fn round(consensus: &Consensus) -> RoundResult {
    if let Some(reason) = consensus.stopped() {
        return Err(RoundFailure::Stopped(reason));
    }
    match consensus.route() {
        Route::Here => read_index(consensus).await.ok_or(RoundFailure::NoLeader),
        Route::There(leader, node) => {
            let peers = consensus.peers.as_ref().ok_or(RoundFailure::NoLeader)?;
            let timeout = round_timeout(consensus);
            remote::read_index(peers, leader, &node, timeout).await.ok_or(RoundFailure::NoLeader)
        }
        Route::Nowhere => Err(RoundFailure::NoLeader),
    }
}

/// A round that takes longer than an election tells nothing that is worth waiting for.
fn round_timeout(consensus: &Consensus) -> Duration {
    consensus.timing.election_max * 2
}

/// The index that a linearizable read waits for, if this replica leads and a quorum confirms it now.
pub(super) async fn read_index(consensus: &Consensus) -> Option<u64> {
    if matches!(consensus.clock_verdict(), Verdict::Skewed { .. }) || consensus.comparison.is_diverged() {
        // Its heartbeats would keep the others from electing a leader that may stamp.
        return None;
    }
    let confirmed = consensus.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
    Some(confirmed.read_log_id().index())
}
