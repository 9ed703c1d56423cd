//! What a replica knows of itself and of the cluster, for `cluster status`, health and metrics.

use std::time::Duration;

use steeple_state::{CLUSTER_VERSION_MAX, StateHash, Suffrage, Uuid};

use super::admin;
use super::consensus::Consensus;
use super::health::{Voters, failure_tolerance};
use super::pinger::{self, FRESH_FOR};
use super::types::{NodeId, StoredMembership};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    Voter,
    /// Catching up, or its promotion is not committed yet: until then the voters before it are a quorum of their own.
    Learner,
}

#[derive(Clone, Debug)]
pub struct Status {
    pub node_id: NodeId,
    pub cluster_uuid: Option<Uuid>,
    pub term: u64,
    /// Who leads and answers. A replica that is cut off stays in the last leader's term without hearing from it.
    pub leader_id: Option<NodeId>,
    pub last_log_index: u64,
    pub applied_index: u64,
    /// The last log entry that the latest snapshot of this replica covers.
    pub snapshot_index: u64,
    /// The last log entry that is not in this replica's log any more.
    pub purged_index: u64,
    pub state_hash: StateHash,
    /// Why this replica serves nothing, if it does not.
    pub stopped: Option<String>,
    /// Members whose state differed from this replica's when they were compared last.
    pub differing: usize,
    /// A membership change is under way.
    pub changing: bool,
    /// In the middle of a change, of the set of voters that has the fewest to spare.
    pub voters: Voters,
    /// Voters that may fail before nothing can be written.
    pub failure_tolerance: usize,
    /// How many members vote; 0 is all.
    pub voters_target: u32,
    pub cluster_version: u32,
    /// By ascending id.
    pub members: Vec<MemberStatus>,
}

#[derive(Clone, Debug)]
pub struct MemberStatus {
    pub node_id: NodeId,
    pub name: String,
    pub peer_address: String,
    pub api_address: String,
    pub storage_uuid: Uuid,
    pub role: Role,
    pub suffrage: Suffrage,
    /// The last log entry that the member is known to hold, and the last one it applied, as of its last answer.
    pub last_log_index: u64,
    pub applied_index: u64,
    /// It answered within the last seconds, or asked, as it looks from a sealed replica, which cannot ask.
    pub reachable: bool,
    /// As of its last answer: it votes and follows, and cannot lead.
    pub sealed: bool,
    /// It answers and keeps up; this replica counts itself.
    pub healthy: bool,
    /// For how long without a break. `None` of an unhealthy one, and of this replica.
    pub healthy_for: Option<Duration>,
    /// How long ago it answered. `None` of this replica, and of one that never did.
    pub last_contact: Option<Duration>,
    /// How long its last answer to a ping took. `None` as of [`Self::last_contact`].
    pub round_trip: Option<Duration>,
    /// The highest cluster version that its release knows, as it said.
    pub cluster_version_max: Option<u32>,
}

/// Whether `id` is a voter in a membership that no crash undoes. In the middle of a change there are two sets of
/// voters, and both have to agree.
pub(super) fn votes_for_good(committed: &StoredMembership, id: NodeId) -> bool {
    committed.get_joint_config().iter().all(|voters| voters.contains(&id)) && committed.voter_ids().next().is_some()
}

/// As [`of`], after every other member was asked how far it is. It takes a second when one of them is silent.
pub(super) async fn asked(consensus: &Consensus) -> Status {
    if consensus.sealing_key.is_sealed() {
        // It can ask nobody, and hears who asks it.
        return of(consensus);
    }
    let answered = pinger::who_answers(consensus).await;
    let mut status = of(consensus);
    for member in &mut status.members {
        member.reachable = member.node_id == consensus.node_id || answered.contains(&member.node_id);
    }
    status
}

pub(super) fn of(consensus: &Consensus) -> Status {
    let metrics = consensus.metrics();
    let (applied_index, state_hash) = consensus.published.hash();
    let membership = &metrics.membership_config;
    let state = consensus.published.state.read();
    let we_are_sealed = consensus.sealing_key.is_sealed();
    let members = membership.nodes().map(|(id, node)| {
        let is_us = *id == consensus.node_id;
        let report = consensus.reports.of(*id);
        // The leader knows how much of the log each member holds; others believe what the member said.
        let matched = metrics.replication.as_ref().and_then(|matched| matched.get(id).cloned().flatten());
        let matched = matched.map(|log_id| log_id.index());
        let sealed = match is_us {
            true => consensus.sealing_key.is_sealed(),
            false => report.as_ref().is_some_and(|report| report.sealed),
        };
        let told = report.as_ref().map_or((0, 0), |report| (report.last_log_index, report.applied_index));
        let (last_log_index, applied) = if is_us {
            (metrics.last_log_index.unwrap_or(0), applied_index)
        } else {
            // Of two accounts that are a moment apart, the later one.
            (matched.unwrap_or(0).max(told.0), told.1)
        };
        let healthy_for = consensus.health.since(*id).map(|since| since.elapsed()).filter(|_| !is_us);
        let asks = consensus.reports.asked_by(*id).filter(|_| we_are_sealed);
        let is_asking = asks.is_some_and(|age| age < FRESH_FOR);
        // The leader knows from its heartbeats, others from their pings; a sealed one cannot ping, and is pinged.
        let answers = match metrics.heartbeat {
            Some(_) => admin::heard(&metrics, *id),
            None => is_asking || consensus.reports.fresh(*id).is_some(),
        };
        MemberStatus {
            node_id: *id,
            name: node.name.clone(),
            peer_address: node.address.clone(),
            api_address: state.member(*id).map(|member| member.facts.api_address.clone()).unwrap_or_default(),
            storage_uuid: node.storage_uuid,
            role: match votes_for_good(&metrics.committed_membership_config, *id) {
                true if metrics.current_leader == Some(*id) && (is_us || answers) => Role::Leader,
                true => Role::Voter,
                false => Role::Learner,
            },
            suffrage: state.member(*id).map(|member| member.suffrage).unwrap_or_default(),
            last_log_index,
            applied_index: applied,
            reachable: is_us || answers,
            sealed,
            healthy: is_us || healthy_for.is_some() || is_asking,
            healthy_for,
            last_contact: report.as_ref().map(|report| report.at.elapsed()).into_iter().chain(asks).min(),
            round_trip: report.as_ref().map(|report| report.round_trip),
            cluster_version_max: match is_us {
                true => Some(CLUSTER_VERSION_MAX),
                false => report.as_ref().map(|report| report.cluster_version_max),
            },
        }
    });
    let members: Vec<MemberStatus> = members.collect();
    let voters = || members.iter().filter(|member| member.role != Role::Learner);
    let healthy = || voters().filter(|member| member.healthy);
    let able = healthy().filter(|member| !member.sealed).count();
    let failure_tolerance = failure_tolerance(voters().count(), healthy().count(), able);
    let answers = |id: &NodeId| members.iter().any(|member| member.node_id == *id && member.reachable);
    let sets = membership.get_joint_config().iter();
    let sets = sets.map(|set| Voters { count: set.len(), answering: set.iter().filter(|id| answers(id)).count() });
    let in_force = Voters::fewest_to_spare(sets);
    let failure_tolerance = match in_force.answering > in_force.count / 2 {
        true => failure_tolerance.min(in_force.answering - in_force.count / 2 - 1),
        false => 0,
    };
    Status {
        node_id: consensus.node_id,
        cluster_uuid: state.cluster().map(|cluster| cluster.uuid),
        term: metrics.current_term,
        leader_id: metrics.current_leader.filter(answers),
        last_log_index: metrics.last_log_index.unwrap_or(0),
        applied_index,
        snapshot_index: metrics.snapshot.map_or(0, |id| id.index()),
        purged_index: metrics.purged.map_or(0, |id| id.index()),
        state_hash,
        stopped: consensus.stopped().map(|reason| reason.0),
        differing: consensus.comparison.differing(),
        changing: metrics.membership_config != metrics.committed_membership_config
            || membership.get_joint_config().len() > 1,
        voters: in_force,
        failure_tolerance,
        voters_target: state.cluster().map_or(0, |cluster| cluster.voters_target),
        cluster_version: state.cluster_version(),
        members,
    }
}
