//! Handing leadership over, because somebody asks for it or because this replica should not lead.

use std::time::Duration;

use openraft::Instant as _;
use steeple_api::steeple::peer as pb;
use tokio::time::Instant;

use super::change::{told, wait_for};
use super::consensus::{Consensus, Route};
use super::membership::HEARD_WITHIN;
use super::membership_change::MembershipError;
use super::pinger::PeerReport;
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

/// An election that is asked for takes a round trip or two.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a voter says of its disk. The most important quality comes first: who has no room would refuse writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Disk {
    pub(super) has_room: bool,
    pub(super) is_fast: bool,
}

/// A voter that could lead now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    disk: Disk,
    /// How much of the log it holds.
    matched: u64,
    node_id: NodeId,
}

fn successor(consensus: &Consensus, metrics: &Metrics, to: Option<NodeId>) -> Result<NodeId, MembershipError> {
    let mut ready = candidates(consensus, metrics);
    match to {
        Some(to) if ready.any(|candidate| candidate.node_id == to) => Ok(to),
        Some(to) if consensus.published.state.read().member(to).is_none() => Err(MembershipError::UnknownMember(to)),
        Some(to) => Err(MembershipError::NotReady(to)),
        None => ready.max().map(|candidate| candidate.node_id).ok_or(MembershipError::NoSuccessor),
    }
}

/// Lets the best successor lead whose disk is `fit`, if there is one, because of what is wrong with this one's.
pub(super) async fn leave_to(consensus: &Consensus, fit: impl Fn(Disk) -> bool, reason: &str) {
    let metrics = consensus.metrics();
    let best = candidates(consensus, &metrics).filter(|candidate| fit(candidate.disk)).max();
    let Some(successor) = best.map(|best| best.node_id) else { return };
    match transfer_here(consensus, Some(successor), Instant::now() + LEAVE_TIMEOUT).await {
        Ok(leader) => tracing::warn!(reason, leader, "another replica leads now, whose disk is better"),
        Err(MembershipError::NotReady(_)) => {}
        Err(error) => tracing::warn!(reason, %error, "leadership was not handed to a replica whose disk is better"),
    }
}

fn candidates(consensus: &Consensus, metrics: &Metrics) -> impl Iterator<Item = Candidate> {
    let last_log = metrics.last_log_index.unwrap_or(0);
    let others = metrics.membership_config.voter_ids().filter(|id| *id != consensus.node_id);
    let sealed = |id: &NodeId| consensus.reports.of(*id).is_some_and(|report| report.sealed);
    others.filter(move |id| heard(metrics, *id) && !sealed(id)).filter_map(move |node_id| {
        let matched = metrics.replication.as_ref()?.get(&node_id).cloned().flatten()?.index();
        let report = consensus.reports.of(node_id);
        let is = |good: fn(&PeerReport) -> bool| report.as_ref().is_some_and(good);
        let disk = Disk { has_room: is(|report| !report.disk_nearly_full), is_fast: is(|report| !report.disk_slow) };
        (matched + SUCCESSOR_LAG_MAX >= last_log).then_some(Candidate { disk, matched, node_id })
    })
}

/// Whether the leader heard from `id` lately. Only the leader's metrics know.
pub(super) fn heard(metrics: &Metrics, id: NodeId) -> bool {
    let acked = metrics.heartbeat.as_ref().and_then(|acks| acks.get(&id).cloned().flatten());
    acked.is_some_and(|at| at.elapsed() < HEARD_WITHIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_has_room_then_a_fast_disk_then_most_of_the_log() {
        let candidate = |has_room, is_fast, matched, node_id| {
            let disk = Disk { has_room, is_fast };
            Candidate { disk, matched, node_id }
        };
        let by_rank = [
            candidate(false, true, 9, 2),
            candidate(true, false, 9, 3),
            candidate(true, true, 7, 4),
            candidate(true, true, 8, 5),
        ];
        assert!(by_rank.is_sorted());
    }
}
