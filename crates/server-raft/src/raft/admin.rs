//! Handing leadership over, because somebody asks for it or because this replica should not lead.

use openraft::Instant as _;
use steeple_api::steeple::peer as pb;
use tokio::time::Instant;

use super::change::{told, wait_for};
use super::consensus::{Consensus, Route};
use super::membership::HEARD_WITHIN;
use super::membership_change::MembershipError;
use super::remote;
use super::types::{Metrics, NodeId};

/// Entries that a successor may lack when it is chosen; openraft waits until it holds them.
const SUCCESSOR_LAG_MAX: u64 = 1000;

/// Hands leadership over, to `to` or to the voter that holds most of the log and has room for more. Returns who leads
/// then.
pub(super) async fn transfer(
    consensus: &Consensus,
    to: Option<NodeId>,
    deadline: Instant,
) -> Result<NodeId, MembershipError> {
    match consensus.route() {
        Route::Here => transfer_here(consensus, to, deadline).await,
        Route::There(leader, _) if Some(leader) == to => Ok(leader),
        Route::There(leader, node) => {
            let peers = consensus.peers.as_ref().ok_or(MembershipError::NoLeader)?;
            let mut leader = remote::leader(peers, leader, &node).map_err(told)?;
            let timeout_ms = remote::remaining_ms(deadline);
            let message = pb::TransferLeadershipRequest { to_node_id: to.unwrap_or(0), hops: remote::HOPS, timeout_ms };
            let answer = leader.transfer_leadership(remote::until(deadline, message)).await.map_err(told)?;
            Ok(answer.into_inner().leader_id)
        }
        Route::Nowhere => Err(MembershipError::NoLeader),
    }
}

pub(super) async fn transfer_here(
    consensus: &Consensus,
    to: Option<NodeId>,
    deadline: Instant,
) -> Result<NodeId, MembershipError> {
    if to == Some(consensus.node_id) {
        return Ok(consensus.node_id);
    }
    // A change left in the middle needs both its quorums; the next leader should not inherit one.
    let change = tokio::time::timeout_at(deadline, consensus.membership_change.lock()).await;
    let _no_change = change.map_err(|_| MembershipError::Timeout)?;
    let successor = successor(consensus, &consensus.metrics(), to)?;
    tracing::info!(successor, "handing leadership over");
    consensus
        .raft
        .trigger()
        .transfer_leader(successor)
        .await
        .map_err(|error| MembershipError::Refused(error.to_string()))?;
    wait_for(consensus, deadline, |metrics| metrics.current_leader.is_some_and(|id| id != consensus.node_id)).await?;
    consensus.metrics().current_leader.ok_or(MembershipError::NoLeader)
}

/// A voter that could lead now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// The most important quality comes first: who has no room would refuse writes.
    has_room: bool,
    /// How much of the log it holds.
    matched: u64,
    node_id: NodeId,
}

fn successor(consensus: &Consensus, metrics: &Metrics, to: Option<NodeId>) -> Result<NodeId, MembershipError> {
    let mut ready = candidates(consensus, metrics);
    match to {
        Some(to) if ready.any(|candidate| candidate.node_id == to) => Ok(to),
        Some(to) => Err(MembershipError::NotReady(to)),
        None => ready.max().map(|candidate| candidate.node_id).ok_or(MembershipError::NoSuccessor),
    }
}

/// The best successor, if its disk has room.
pub(super) fn successor_with_room(consensus: &Consensus) -> Option<NodeId> {
    let best = candidates(consensus, &consensus.metrics()).max()?;
    best.has_room.then_some(best.node_id)
}

fn candidates(consensus: &Consensus, metrics: &Metrics) -> impl Iterator<Item = Candidate> {
    let last_log = metrics.last_log_index.unwrap_or(0);
    let others = metrics.membership_config.voter_ids().filter(|id| *id != consensus.node_id);
    let sealed = |id: &NodeId| consensus.reports.of(*id).is_some_and(|report| report.sealed);
    others.filter(move |id| heard(metrics, *id) && !sealed(id)).filter_map(move |node_id| {
        let matched = metrics.replication.as_ref()?.get(&node_id).cloned().flatten()?.index();
        let has_room = consensus.reports.of(node_id).is_some_and(|report| !report.disk_nearly_full);
        (matched + SUCCESSOR_LAG_MAX >= last_log).then_some(Candidate { has_room, matched, node_id })
    })
}

/// Whether the leader heard from `id` lately. Only the leader's metrics know.
pub(super) fn heard(metrics: &Metrics, id: NodeId) -> bool {
    let acked = metrics.heartbeat.as_ref().and_then(|acks| acks.get(&id).cloned().flatten());
    acked.is_some_and(|at| at.elapsed() < HEARD_WITHIN)
}
