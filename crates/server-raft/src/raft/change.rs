//! An operator's change of the membership on its way: judged at the leader, written, and waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use steeple_api::steeple::peer as pb;
use steeple_state::{CLUSTER_VERSION_FIRST, CLUSTER_VERSION_MAX, CommandKind, Outcome};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::consensus::{Consensus, Route};
use super::error::Refusal;
use super::membership::situation;
use super::membership_change::{Change, MembershipError, commands};
use super::propose::{Queue, driver_command};
use super::status::votes_for_good;
use super::types::{Metrics, NodeId};
use super::{pinger, remote};

/// To which version a cluster was brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finalized {
    pub version: u32,
    /// Members whose release knows no higher one, although the leader's does.
    pub held_back_by: Vec<NodeId>,
}

/// Returns when the change has taken effect.
pub(super) async fn change(
    consensus: &Consensus,
    queue: &Queue,
    change: Change,
    deadline: Instant,
) -> Result<(), MembershipError> {
    match consensus.route() {
        Route::Here => change_here(consensus, queue, change, deadline).await,
        Route::There(leader, node) => {
            let peers = consensus.peers.as_ref().ok_or(MembershipError::NoLeader)?;
            let mut client = remote::leader(peers, leader, &node).map_err(told)?;
            let timeout_ms = remote::remaining_ms(deadline);
            let message = pb::ChangeMembershipRequest { change: Some(change.into()), hops: remote::HOPS, timeout_ms };
            match client.change_membership(remote::until(deadline, message)).await.map_err(told) {
                // A leader that has to leave may end before it has said that it did what was wanted.
                Err(MembershipError::NoLeader) if change.ends(leader) => {
                    wait_for(consensus, deadline, |metrics| has_taken_effect(change, metrics)).await
                }
                answer => answer.map(drop),
            }
        }
        Route::Nowhere => Err(MembershipError::NoLeader),
    }
}

/// Writes what is wanted; the leader's care for the membership does the rest, and this waits for it.
pub(super) async fn change_here(
    consensus: &Consensus,
    queue: &Queue,
    change: Change,
    deadline: Instant,
) -> Result<(), MembershipError> {
    // Who died a moment ago was heard lately: a change that needs it would never be committed, nor any write after it.
    let answered = pinger::who_answers(consensus).await;
    // How long this replica leads decides only about namesakes of the dead.
    let now = situation(consensus, &consensus.metrics(), Duration::ZERO).confirmed_by(&answered);
    for kind in commands(change, &now)? {
        write(queue, kind, deadline).await?;
    }
    tracing::info!(?change, "the membership is to change");
    wait_for(consensus, deadline, |metrics| has_taken_effect(change, metrics)).await
}

fn has_taken_effect(change: Change, metrics: &Metrics) -> bool {
    let committed = &metrics.committed_membership_config;
    match change {
        Change::Promote(id) => votes_for_good(committed, id),
        Change::Demote(id) => committed.voter_ids().all(|voter| voter != id),
        Change::Remove(id) => committed.get_node(&id).is_none(),
        Change::Replace { old, new } => votes_for_good(committed, new) && committed.get_node(&old).is_none(),
        // Votes come and go one by one, and some only when a member is healthy.
        Change::SetTarget(_) => true,
    }
}

/// Raises the cluster version to what every member can follow.
pub(super) async fn finalize(
    consensus: &Consensus,
    queue: &Queue,
    deadline: Instant,
) -> Result<Finalized, MembershipError> {
    match consensus.route() {
        Route::Here => finalize_here(consensus, queue, deadline).await,
        Route::There(leader, node) => {
            let peers = consensus.peers.as_ref().ok_or(MembershipError::NoLeader)?;
            let mut leader = remote::leader(peers, leader, &node).map_err(told)?;
            let message = pb::FinalizeRequest { hops: remote::HOPS, timeout_ms: remote::remaining_ms(deadline) };
            let answer = leader.finalize(remote::until(deadline, message)).await.map_err(told)?.into_inner();
            Ok(Finalized { version: answer.version, held_back_by: answer.held_back_by })
        }
        Route::Nowhere => Err(MembershipError::NoLeader),
    }
}

pub(super) async fn finalize_here(
    consensus: &Consensus,
    queue: &Queue,
    deadline: Instant,
) -> Result<Finalized, MembershipError> {
    let answered = pinger::who_answers(consensus).await;
    let known = consensus.published.state.read().members().map(|member| member.node_id).collect::<BTreeSet<_>>();
    let version_of = |id: NodeId| match id == consensus.node_id {
        true => Some(CLUSTER_VERSION_MAX),
        false => consensus.reports.of(id).filter(|_| answered.contains(&id)).map(|report| report.cluster_version_max),
    };
    let finalized = finalizable(&known.into_iter().map(|id| (id, version_of(id))).collect())?;
    let version = finalized.version;
    if version > consensus.published.state.read().cluster_version() {
        write(queue, CommandKind::SetClusterVersion { version }, deadline).await?;
        tracing::info!(version, "the cluster version was raised");
    }
    Ok(finalized)
}

/// The highest version that all members know. `None`: one that does not answer.
fn finalizable(known: &BTreeMap<NodeId, Option<u32>>) -> Result<Finalized, MembershipError> {
    if let Some((silent, _)) = known.iter().find(|(_, version)| version.is_none()) {
        return Err(MembershipError::Unasked(*silent));
    }
    let versions = known.iter().filter_map(|(id, version)| Some((*id, (*version)?)));
    let version = versions.clone().map(|(_, version)| version).min().unwrap_or(CLUSTER_VERSION_FIRST);
    let held_back_by = versions.filter(|(_, version)| *version < CLUSTER_VERSION_MAX).map(|(id, _)| id).collect();
    Ok(Finalized { version: version.min(CLUSTER_VERSION_MAX), held_back_by })
}

async fn write(queue: &Queue, kind: CommandKind, deadline: Instant) -> Result<(), MembershipError> {
    match queue.submit(driver_command("cluster", kind), deadline).await {
        Ok(committed) => match committed.outcome {
            Outcome::Rejected(rejection) => Err(MembershipError::Refused(rejection.message)),
            _ => Ok(()),
        },
        Err(Refusal::NotFinalized { needs, has }) => Err(MembershipError::NotFinalized { needs, has }),
        Err(Refusal::NotLeader) => Err(MembershipError::NoLeader),
        Err(Refusal::Ambiguous) => Err(MembershipError::Timeout),
        Err(refusal) => Err(MembershipError::Refused(Status::from(refusal).message().to_owned())),
    }
}

pub(super) async fn wait_for(
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
    tokio::time::timeout_at(bound, wait).await.unwrap_or(Err(MembershipError::Timeout))
}

/// What the leader said, as far as it can be told apart. What has a source was not said by it: the connection broke,
/// perhaps because it ended, or took too long.
pub(super) fn told(status: Status) -> MembershipError {
    match status.code() {
        Code::DeadlineExceeded => MembershipError::Timeout,
        Code::Cancelled if status.source().is_some() => MembershipError::Timeout,
        Code::Unavailable => MembershipError::NoLeader,
        _ if status.source().is_some() => MembershipError::NoLeader,
        code => MembershipError::Told(code, status.message().to_owned()),
    }
}

impl From<MembershipError> for Status {
    fn from(error: MembershipError) -> Self {
        let text = error.to_string();
        match error {
            MembershipError::NoLeader => Self::unavailable(text),
            MembershipError::Timeout => Self::deadline_exceeded(text),
            MembershipError::UnknownMember(_) => Self::not_found(text),
            MembershipError::Target(_) => Self::invalid_argument(text),
            MembershipError::Told(code, text) => Self::new(code, text),
            _ => Self::failed_precondition(text),
        }
    }
}

impl From<Change> for pb::change_membership_request::Change {
    fn from(change: Change) -> Self {
        match change {
            Change::Promote(id) => Self::Promote(id),
            Change::Demote(id) => Self::Demote(id),
            Change::Remove(id) => Self::Remove(id),
            Change::Replace { old, new } => Self::Replace(pb::Replacement { old_node_id: old, new_node_id: new }),
            Change::SetTarget(voters) => Self::VotersTarget(voters),
        }
    }
}

impl From<pb::change_membership_request::Change> for Change {
    fn from(change: pb::change_membership_request::Change) -> Self {
        use pb::change_membership_request::Change as Wire;
        match change {
            Wire::Promote(id) => Self::Promote(id),
            Wire::Demote(id) => Self::Demote(id),
            Wire::Remove(id) => Self::Remove(id),
            Wire::Replace(pair) => Self::Replace { old: pair.old_node_id, new: pair.new_node_id },
            Wire::VotersTarget(voters) => Self::SetTarget(voters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_is_no_refusal() {
        let broken = Status::from_error(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        assert_eq!((broken.code(), told(broken)), (Code::Unknown, MembershipError::NoLeader));
        let said = Status::failed_precondition("node 2 leads");
        assert_eq!(told(said), MembershipError::Told(Code::FailedPrecondition, "node 2 leads".to_owned()));
        // What the leader says has the same code on every replica.
        let unknown = Status::from(MembershipError::UnknownMember(9));
        let forwarded = Status::from(told(unknown.clone()));
        assert_eq!((forwarded.code(), forwarded.message()), (Code::NotFound, unknown.message()));
    }

    #[test]
    fn the_oldest_release_decides_and_a_silent_one_forbids() {
        let first = CLUSTER_VERSION_FIRST;
        let mixed = finalizable(&[(1, Some(CLUSTER_VERSION_MAX)), (2, Some(first))].into());
        assert_eq!(mixed, Ok(Finalized { version: first, held_back_by: vec![2] }));
        let newer = finalizable(&[(1, Some(CLUSTER_VERSION_MAX)), (2, Some(CLUSTER_VERSION_MAX + 1))].into());
        assert_eq!(newer, Ok(Finalized { version: CLUSTER_VERSION_MAX, held_back_by: vec![] }));
        let silent = finalizable(&[(1, Some(first)), (2, None)].into());
        assert_eq!(silent, Err(MembershipError::Unasked(2)));
    }
}
