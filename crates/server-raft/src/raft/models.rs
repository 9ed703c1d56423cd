//! Decisions about members, for `crates/models`: openraft's types stay in this folder.

use std::collections::{BTreeMap, BTreeSet};

use steeple_state::{Member, State};

use super::members;
use super::membership_plan::{self, Situation, Step};
use super::types::{Membership, NodeId};
use crate::peer::{PeerId, Standing};

/// What a leader knows when it cares for the membership, without the clean-up of silent members and without a target.
pub struct Seen<'a> {
    pub leader: NodeId,
    pub state: &'a State,
    pub voters: BTreeSet<NodeId>,
    /// Voters and learners as Raft knows them.
    pub nodes: Vec<Member>,
    pub last_log: u64,
    /// How much of the log each node holds.
    pub matched: BTreeMap<NodeId, u64>,
    /// Who answers, and has for a while; the other members are silent for as long.
    pub heard: BTreeSet<NodeId>,
}

/// One change of the membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    AddLearner(NodeId),
    Demote(NodeId),
    /// Takes a member off the list.
    Forget(NodeId),
    Promote {
        learner: NodeId,
        replaces: Option<NodeId>,
    },
    /// Takes a node out of Raft.
    Remove(NodeId),
    Settle,
    Update(NodeId),
}

/// What the leader does next. `None` also when Raft would not take the membership.
pub fn next_change(seen: Seen<'_>) -> Option<Change> {
    let nodes: BTreeMap<_, _> =
        seen.nodes.iter().map(|member| (member.node_id, membership_plan::node(member))).collect();
    let members: Vec<Member> = seen.state.members().cloned().collect();
    let silent = members.iter().map(|member| member.node_id);
    let silent = silent.filter(|id| *id != seen.leader && !seen.heard.contains(id)).collect();
    let step = membership_plan::plan(&Situation {
        us: seen.leader,
        members,
        membership: Membership::new(vec![seen.voters], nodes).ok()?,
        last_log: seen.last_log,
        matched: seen.matched,
        stable: seen.heard.clone(),
        heard: seen.heard,
        silent,
        sealed: BTreeSet::new(),
        dead: BTreeSet::new(),
        voters_min: 0,
        voters_target: 0,
    })?;
    Some(match step {
        Step::AddLearner(id, _) => Change::AddLearner(id),
        Step::Demote(id) => Change::Demote(id),
        Step::Forget(id) | Step::CleanUp(id) => Change::Forget(id),
        Step::Promote { learner, replaces } => Change::Promote { learner, replaces },
        Step::Remove(id) => Change::Remove(id),
        Step::Settle => Change::Settle,
        Step::Update(id, _) => Change::Update(id),
    })
}

/// What a replica with this state makes of a peer that its Raft's membership does not have on this disk.
pub fn standing_by_list(state: &State, id: &PeerId) -> Standing {
    members::by_list(state, id)
}
