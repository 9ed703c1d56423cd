//! The leader's care for the Raft membership: it plans (`membership_plan`), takes one step, and plans again.
//!
//! The replicated list of members says who belongs to the cluster; Raft's membership follows it. A member that Raft
//! does not know becomes a learner, a learner that caught up becomes a voter, and who left the list leaves Raft. Each
//! step starts from what is committed, so a new leader continues in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{ChangeMembers, Instant as _};
use steeple_state::{CommandKind, Member, Outcome};

use super::consensus::Consensus;
use super::leadership::Leadership;
use super::membership_plan::{Situation, Step, plan};
use super::pinger;
use super::propose::{Queue, driver_command};
use super::types::{Metrics, NodeId};

/// A learner that did not answer within this is not promoted, as it would weaken the quorum.
pub(super) const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// How long the leader waits before it looks again when nothing told it to.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long one step may take; it is looked at again afterwards.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs while this replica lives; acts while it leads.
pub(super) async fn care(consensus: Arc<Consensus>, queue: Queue) {
    let mut metrics = consensus.raft.metrics();
    let mut events = consensus.published.events.subscribe();
    let mut leading_since: Option<tokio::time::Instant> = None;
    loop {
        let now = metrics.borrow_watched().clone();
        if !Leadership::of(&now).is_leader {
            leading_since = None;
            if metrics.changed().await.is_err() {
                return;
            }
            continue;
        }
        let since = *leading_since.get_or_insert_with(tokio::time::Instant::now);
        let change_in_progress = now.membership_config != now.committed_membership_config;
        let planned = if change_in_progress { None } else { plan(&situation(&consensus, &now, since.elapsed())) };
        let step = match planned {
            Some(planned) => confirmed(&consensus, planned, since.elapsed()).await,
            None => None,
        };
        if let Some(step) = step {
            let _one_at_a_time = consensus.membership_change.lock().await;
            tracing::info!(%step, "changing the membership");
            match tokio::time::timeout(STEP_TIMEOUT, take(&consensus, &queue, step)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => tracing::warn!(%error, "the membership change failed, trying again"),
                Err(_) => tracing::warn!("the membership change takes long"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            // Lagging behind events is no matter: the plan starts from the state.
            _ = events.recv() => {}
            changed = membership_or_progress(&mut metrics, &now) => if !changed { return },
        }
    }
}

/// A step that is planned again when everybody was asked just now: who died a moment ago was heard lately, and a change
/// that needs it would never be committed, nor any write after it.
async fn confirmed(consensus: &Consensus, planned: Step, leading_for: Duration) -> Option<Step> {
    let answered = pinger::who_answers(consensus).await;
    plan(&situation(consensus, &consensus.metrics(), leading_for).confirmed_by(&answered))
        .filter(|step| *step == planned)
}

/// Waits for news that a plan depends on. False when the consensus ended.
async fn membership_or_progress<R>(metrics: &mut R, seen: &Metrics) -> bool
where
    R: WatchReceiver<openraft::alias::WatchOf<super::types::TypeConfig>, Metrics>,
{
    loop {
        if metrics.changed().await.is_err() {
            return false;
        }
        let now = metrics.borrow_watched();
        if now.state != seen.state
            || now.membership_config != seen.membership_config
            || now.committed_membership_config != seen.committed_membership_config
            || now.replication != seen.replication
        {
            return true;
        }
    }
}

/// `leading_for`: who did not answer a leader that is new to its office may have answered the one before.
pub(super) fn situation(consensus: &Consensus, metrics: &Metrics, leading_for: Duration) -> Situation {
    let (members, voters_target) = {
        let state = consensus.published.state.read();
        let target = state.cluster().map_or(0, |cluster| cluster.voters_target as usize);
        (state.members().cloned().collect::<Vec<Member>>(), target)
    };
    let acked = metrics.heartbeat.iter().flatten();
    let ages: BTreeMap<NodeId, Option<Duration>> =
        acked.map(|(id, at)| (*id, at.as_ref().map(|at| at.elapsed()))).collect();
    let age = |id: NodeId| ages.get(&id).copied().flatten();
    let us = consensus.node_id;
    let that = |is: &dyn Fn(NodeId) -> bool| -> BTreeSet<NodeId> {
        members.iter().map(|member| member.node_id).filter(|id| is(*id)).collect()
    };
    let silent_after = consensus.timing.silent_after;
    let promote_after = consensus.timing.promote_after;
    let dead_after = consensus.clean_up.map(|clean_up| clean_up.after);
    let matched = metrics.replication.iter().flatten();
    Situation {
        us,
        membership: metrics.membership_config.membership().clone(),
        last_log: metrics.last_log_index.unwrap_or(0),
        matched: matched.filter_map(|(id, log_id)| log_id.map(|log_id| (*id, log_id.index()))).collect(),
        heard: that(&|id| id == us || age(id).is_some_and(|age| age < HEARD_WITHIN)),
        silent: that(&|id| id != us && leading_for > silent_after && age(id).is_none_or(|age| age > silent_after)),
        sealed: that(&|id| id != us && consensus.reports.of(id).is_some_and(|report| report.sealed)),
        stable: that(&|id| {
            promote_after.is_zero() || consensus.health.since(id).is_some_and(|since| since.elapsed() >= promote_after)
        }),
        dead: that(&|id| id != us && dead_after.is_some_and(|after| consensus.reports.silence(id) > after)),
        voters_min: consensus.clean_up.map_or(0, |clean_up| clean_up.voters_min),
        voters_target,
        members,
    }
}

async fn take(consensus: &Consensus, queue: &Queue, step: Step) -> Result<(), String> {
    let raft = &consensus.raft;
    let voters: BTreeSet<NodeId> = raft.voter_ids().collect();
    let change = match step {
        // Nothing to add: openraft then writes the uniform half of the joint configuration.
        Step::Settle => ChangeMembers::AddVoterIds(BTreeSet::new()),
        Step::AddLearner(id, node) => ChangeMembers::AddNodes(BTreeMap::from([(id, node)])),
        Step::Update(id, node) => ChangeMembers::SetNodes(BTreeMap::from([(id, node)])),
        Step::Promote { learner, replaces } => {
            let kept = voters.into_iter().filter(|id| Some(*id) != replaces);
            ChangeMembers::ReplaceAllVoters(kept.chain([learner]).collect())
        }
        Step::Demote(id) => ChangeMembers::RemoveVoters(BTreeSet::from([id])),
        Step::Remove(id) if voters.contains(&id) => ChangeMembers::RemoveVoters(BTreeSet::from([id])),
        Step::Remove(id) => ChangeMembers::RemoveNodes(BTreeSet::from([id])),
        Step::Forget(node_id) | Step::CleanUp(node_id) => return forget(queue, node_id).await,
    };
    // Retained as learners: who leaves the voters leaves the nodes by a step of its own.
    raft.change_membership(change, true).await.map(drop).map_err(|error| error.to_string())
}

async fn forget(queue: &Queue, node_id: NodeId) -> Result<(), String> {
    let command = driver_command("membership", CommandKind::RemoveMember { node_id });
    let deadline = tokio::time::Instant::now() + STEP_TIMEOUT;
    match queue.submit(command, deadline).await {
        Ok(committed) => match committed.outcome {
            Outcome::Rejected(rejection) => Err(rejection.message),
            _ => Ok(()),
        },
        Err(refusal) => Err(format!("{refusal:?}")),
    }
}
