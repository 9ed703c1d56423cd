//! A proposal's way to the leader: here, or over the peer port, again and again until its deadline.
//!
//! Each attempt carries the same request id, so an attempt whose fate is unknown is repeated without a second effect.

use std::time::Duration;

use steeple_core::Timestamp;
use steeple_state::{Command, CommandKind, codec};
use tokio::sync::watch;
use tokio::time::Instant;

use super::consensus::{Consensus, Route};
use super::error::{ProposeError, Refusal};
use super::leadership::Leadership;
use super::propose::{Committed, Queue};
use super::remote;
use super::replica::Origin;
use super::types::NodeId;

/// How long a failed attempt waits for news of a leader before it looks again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// What a refused client should wait: a queue of the size allowed is worked off in about this time.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) async fn propose(
    consensus: &Consensus,
    queue: &Queue,
    kind: CommandKind,
    origin: Origin,
) -> Result<Committed, ProposeError> {
    let started = Instant::now();
    let Origin { actor, request_id, deadline } = origin;
    // The one door for what callers bring: no token gets readable into the log, nor to another replica.
    let kind = kind.naming_join_tokens(&consensus.published.state.read());
    let command = Command { request_id, at: Timestamp::default(), actor, kind };
    let mut leadership = consensus.leadership.clone();
    let mut perhaps_written = false;
    loop {
        leadership.mark_unchanged();
        let refusal = match attempt(consensus, queue, &command, deadline).await {
            Ok(committed) => return Ok(committed),
            Err(refusal) => refusal,
        };
        perhaps_written |= refusal == Refusal::Ambiguous;
        let out_of_time = remote::remaining(deadline) <= RETRY_PAUSE;
        match refusal {
            Refusal::NotLeader | Refusal::Ambiguous | Refusal::ClockSkew { .. } if !out_of_time => {
                next_try(&mut leadership).await;
            }
            refusal => return Err(give_up(refusal, perhaps_written, started)),
        }
    }
}

/// One attempt, and only while this replica leads: what a leader decides by its clock is stamped by that clock, so that
/// the others refuse it if the clock is wrong. Carried to another leader it would get a stamp that is right.
pub(super) async fn propose_here(
    consensus: &Consensus,
    queue: &Queue,
    kind: CommandKind,
    origin: Origin,
) -> Result<Committed, ProposeError> {
    let started = Instant::now();
    let Origin { actor, request_id, deadline } = origin;
    let command = Command { request_id, at: Timestamp::default(), actor, kind };
    let refused = |refusal| give_up(refusal, false, started);
    consensus.refuse_if_stopped().map_err(refused)?;
    queue.submit(command, deadline).await.map_err(refused)
}

/// One attempt, at whoever leads now. Returns only after this replica has applied the command.
async fn attempt(
    consensus: &Consensus,
    queue: &Queue,
    command: &Command,
    deadline: Instant,
) -> Result<Committed, Refusal> {
    consensus.refuse_if_stopped()?;
    consensus.sealing_key.check().map_err(Refusal::Sealed)?;
    match consensus.route() {
        Route::Here => queue.submit(command.clone(), deadline).await,
        Route::There(leader, node) => {
            let peers = consensus.peers.as_ref().ok_or(Refusal::NotLeader)?;
            let encoded = codec::encode_commands(std::slice::from_ref(command));
            let committed = tokio::select! {
                committed = remote::propose(peers, leader, &node, encoded, deadline) => committed?,
                // A leader that hangs would hold the caller until its deadline, although another one leads already.
                () = another_leads(consensus, leader) => return Err(Refusal::Ambiguous),
            };
            // Read your writes: the caller's next read on this socket must see this one.
            if !consensus.applied_at_least(committed.index, deadline).await {
                return Err(Refusal::Ambiguous);
            }
            Ok(committed)
        }
        Route::Nowhere => Err(Refusal::NotLeader),
    }
}

async fn another_leads(consensus: &Consensus, leader: NodeId) {
    let mut leadership = consensus.leadership.clone();
    let replaced = leadership.wait_for(|now| now.leader.is_some_and(|id| id != leader)).await.is_ok();
    if !replaced {
        // The consensus stopped; the attempt itself will notice.
        std::future::pending::<()>().await;
    }
}

/// Until the leader changes, or a moment.
pub(super) async fn next_try(leadership: &mut watch::Receiver<Leadership>) {
    // A closed watch means that the replica stops: the pause keeps the loop from spinning until it notices.
    if let Ok(Err(_)) = tokio::time::timeout(RETRY_PAUSE, leadership.changed()).await {
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn give_up(refusal: Refusal, perhaps_written: bool, started: Instant) -> ProposeError {
    let waited = started.elapsed();
    match refusal {
        _ if perhaps_written => ProposeError::Timeout { waited },
        Refusal::NotLeader => ProposeError::NoLeader { waited },
        Refusal::Ambiguous => ProposeError::Timeout { waited },
        Refusal::Overloaded { queued } => ProposeError::Overloaded { queued, retry_after: RETRY_AFTER },
        Refusal::TooLarge { bytes, bytes_max } => ProposeError::TooLarge { bytes, bytes_max },
        Refusal::ClockSkew { node_id, offset_ms } => ProposeError::ClockSkew { node_id, offset_ms },
        Refusal::NoSpace { node_id, available_bytes } => {
            ProposeError::NoSpace { node_id, available_mib: available_bytes >> 20 }
        }
        Refusal::NotFinalized { needs, has } => ProposeError::NotFinalized { needs, has },
        Refusal::Stopped(reason) => ProposeError::Stopped { reason: reason.0 },
        Refusal::Sealed(sealed) => sealed.into(),
    }
}
