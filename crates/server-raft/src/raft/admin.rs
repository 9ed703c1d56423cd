//! What an operator does to the membership: remove a member, hand leadership over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use steeple_api::steeple::peer as pb;
use steeple_state::{CommandKind, Outcome};
use tonic::{Code, Status};

use super::consensus::{Consensus, Route};
use super::membership::HEARD_WITHIN;
use super::propose::{Queue, driver_command};
use super::remote;
use super::types::{Metrics, NodeId};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("there is no leader at the moment; retry, and see `cluster status` if it lasts")]
    NoLeader,
    #[error("node {0} is not a member; see `cluster list`")]
    UnknownMember(NodeId),
    #[error(
        "without node {node_id} only {alive} of {voters} voters would be alive, which is no quorum; \
         bring others back first"
    )]
    WouldLoseQuorum { node_id: NodeId, alive: usize, voters: usize },
    #[error("node {0} is the only voter; stop the server instead")]
    LastVoter(NodeId),
    #[error("node {0} is not a voter that holds the whole log; see `cluster list`")]
    NotReady(NodeId),
    #[error("no other voter is ready to lead; see `cluster list`")]
    NoSuccessor,
    #[error("the change did not complete in time; see `cluster status`")]
    Timeout,
    #[error("{0}")]
    Refused(String),
}

/// Entries that a successor may lack when it is chosen; openraft waits until it holds them.
const SUCCESSOR_LAG_MAX: u64 = 1000;

pub(super) async fn remove(
    consensus: &Consensus,
    queue: &Queue,
    node_id: NodeId,
    deadline: Instant,
) -> Result<(), MembershipError> {
    match consensus.route() {
        Route::Here => remove_here(consensus, queue, node_id, deadline).await,
        Route::There(leader, node) => {
            let peers = consensus.peers.as_ref().ok_or(MembershipError::NoLeader)?;
            let mut leader = remote::leader(peers, leader, &node).map_err(told)?;
            let timeout_ms = remote::remaining_ms(deadline);
            let message = pb::RemoveMemberRequest { node_id, hops: remote::HOPS, timeout_ms };
            leader.remove_member(remote::until(deadline, message)).await.map(drop).map_err(told)
        }
        Route::Nowhere => Err(MembershipError::NoLeader),
    }
}

/// Takes a member off the list; the leader's care for the membership does the rest, and this waits for it.
pub(super) async fn remove_here(
    consensus: &Consensus,
    queue: &Queue,
    node_id: NodeId,
    deadline: Instant,
) -> Result<(), MembershipError> {
    may_remove(consensus, &consensus.metrics(), node_id)?;
    let command = driver_command("cluster remove", CommandKind::RemoveMember { node_id });
    match queue.submit(command, deadline).await {
        Ok(committed) => match committed.outcome {
            Outcome::Rejected(rejection) => return Err(MembershipError::Refused(rejection.message)),
            _ => tracing::info!(node_id, "member removed"),
        },
        Err(_) => return Err(MembershipError::NoLeader),
    }
    let gone = |metrics: &Metrics| metrics.committed_membership_config.get_node(&node_id).is_none();
    wait_for(consensus, deadline, gone).await
}

/// Refuses what would leave the cluster without a quorum of voters that answer.
fn may_remove(consensus: &Consensus, metrics: &Metrics, node_id: NodeId) -> Result<(), MembershipError> {
    if consensus.published.state.read().member(node_id).is_none() {
        return Err(MembershipError::UnknownMember(node_id));
    }
    let voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().filter(|id| *id != node_id).collect();
    if voters.is_empty() {
        return Err(MembershipError::LastVoter(node_id));
    }
    let alive = voters.iter().filter(|id| **id == consensus.node_id || heard(metrics, **id)).count();
    if alive < voters.len() / 2 + 1 {
        return Err(MembershipError::WouldLoseQuorum { node_id, alive, voters: voters.len() });
    }
    Ok(())
}

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
    let change = tokio::time::timeout_at(deadline.into(), consensus.membership_change.lock()).await;
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

async fn wait_for(
    consensus: &Consensus,
    deadline: Instant,
    reached: impl Fn(&Metrics) -> bool,
) -> Result<(), MembershipError> {
    let mut metrics = consensus.raft.metrics();
    let wait = async {
        loop {
            if reached(&metrics.borrow_watched()) {
                return Ok(());
            }
            if metrics.changed().await.is_err() {
                return Err(MembershipError::NoLeader);
            }
        }
    };
    let bound = deadline.max(Instant::now() + Duration::from_millis(1));
    tokio::time::timeout_at(bound.into(), wait).await.unwrap_or(Err(MembershipError::Timeout))
}

fn told(status: Status) -> MembershipError {
    match status.code() {
        Code::Unavailable => MembershipError::NoLeader,
        Code::DeadlineExceeded => MembershipError::Timeout,
        _ => MembershipError::Refused(status.message().to_owned()),
    }
}

impl From<MembershipError> for Status {
    fn from(error: MembershipError) -> Self {
        let text = error.to_string();
        match error {
            MembershipError::NoLeader => Self::unavailable(text),
            MembershipError::Timeout => Self::deadline_exceeded(text),
            MembershipError::UnknownMember(_) => Self::not_found(text),
            _ => Self::failed_precondition(text),
        }
    }
}
