//! What should be done next about the membership, as a pure function of what is committed and who answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use steeple_state::{Member, Suffrage};

use super::types::{Membership, Node, NodeId};

/// Entries that a learner may lack when it becomes a voter: it catches up with them while the change commits.
pub(super) const PROMOTE_LAG_MAX: u64 = 100;

/// One change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ends a joint configuration that an earlier leader left behind. Until then both its quorums are needed.
    Settle,
    AddLearner(NodeId, Node),
    /// Makes a learner a voter, in the place of a voter that is gone if one is named.
    Promote {
        learner: NodeId,
        replaces: Option<NodeId>,
    },
    /// Makes a voter a learner: an operator wants it to stand by, or there are more voters than the target.
    Demote(NodeId),
    /// A member changed its name or address.
    Update(NodeId, Node),
    /// Takes a node that is no member any more out of Raft.
    Remove(NodeId),
    /// Takes a member off the list: another one took its place.
    Forget(NodeId),
    /// Takes a member off the list that is taken for dead.
    CleanUp(NodeId),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settle => f.write_str("end the joint configuration"),
            Self::AddLearner(id, node) => write!(f, "add node {id} ({}) as a learner", node.name),
            Self::Promote { learner, replaces: None } => write!(f, "let node {learner} vote"),
            Self::Promote { learner, replaces: Some(gone) } => write!(f, "let node {learner} vote in place of {gone}"),
            Self::Demote(id) => write!(f, "let node {id} vote no more"),
            Self::Update(id, node) => write!(f, "write down what changed about node {id} ({})", node.name),
            Self::Remove(id) => write!(f, "take node {id} out of Raft"),
            Self::Forget(id) => write!(f, "take node {id} off the list of members, as another one took its place"),
            Self::CleanUp(id) => {
                write!(f, "take node {id} off the list of members, silent for as long as dead_server_cleanup allows")
            }
        }
    }
}

/// What a plan is made from, and what decides whether an operator may change it.
pub(super) struct Situation {
    pub(super) us: NodeId,
    pub(super) members: Vec<Member>,
    pub(super) membership: Membership,
    pub(super) last_log: u64,
    /// How much of the log each node holds.
    pub(super) matched: BTreeMap<NodeId, u64>,
    pub(super) heard: BTreeSet<NodeId>,
    pub(super) silent: BTreeSet<NodeId>,
    /// They vote and follow, and cannot lead.
    pub(super) sealed: BTreeSet<NodeId>,
    /// Healthy for as long as a learner has to be before it votes.
    pub(super) stable: BTreeSet<NodeId>,
    /// Silent for so long that they are cleaned up; empty while that is off.
    pub(super) dead: BTreeSet<NodeId>,
    /// The clean-up leaves so many voters.
    pub(super) voters_min: usize,
    /// 0: all that may.
    pub(super) voters_target: usize,
}

impl Situation {
    pub(super) fn voters(&self) -> BTreeSet<NodeId> {
        self.membership.voter_ids().collect()
    }

    pub(super) fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node_id == id)
    }

    /// As it is after all were asked just now: of who was heard lately, only those who `answered` count.
    pub(super) fn confirmed_by(mut self, answered: &BTreeSet<NodeId>) -> Self {
        self.heard.retain(|id| *id == self.us || answered.contains(id));
        self
    }

    /// Entries of the log that it is not known to hold.
    pub(super) fn lag(&self, id: NodeId) -> u64 {
        self.last_log.saturating_sub(self.matched.get(&id).copied().unwrap_or(0))
    }

    /// Whether more than half of `voters` answer.
    pub(super) fn has_quorum(&self, voters: &BTreeSet<NodeId>) -> bool {
        self.alive(voters) > voters.len() / 2
    }

    /// Whether one of `voters` answers and can lead.
    pub(super) fn has_leader_among(&self, voters: &BTreeSet<NodeId>) -> bool {
        let able = voters.iter().filter(|id| !self.sealed.contains(id));
        able.into_iter().any(|id| *id == self.us || self.heard.contains(id))
    }

    pub(super) fn alive(&self, voters: &BTreeSet<NodeId>) -> usize {
        voters.iter().filter(|id| **id == self.us || self.heard.contains(id)).count()
    }

    /// The silent member of the same name whose place `successor` takes.
    fn predecessor(&self, successor: &Member) -> Option<NodeId> {
        let same_name = self.members.iter().filter(|other| other.facts.name == successor.facts.name);
        same_name
            .map(|other| other.node_id)
            .find(|id| *id < successor.node_id && self.silent.contains(id) && *id != self.us)
    }

    /// Whether a voter has the learner's name and is not known to be gone. The learner takes its place when it is, in
    /// one step: as one more voter it would raise the number that a quorum needs while a voter is missing.
    fn awaits_place(&self, learner: &Member, voters: &BTreeSet<NodeId>) -> bool {
        let before = self.members.iter().filter(|other| other.node_id < learner.node_id);
        let mut namesakes = before.filter(|other| other.facts.name == learner.facts.name);
        namesakes.any(|other| voters.contains(&other.node_id) && !self.silent.contains(&other.node_id))
    }

    /// The learner that votes next, if a voter is missed: one that an operator chose before all others.
    fn spare(&self, voters: &BTreeSet<NodeId>) -> Option<&Member> {
        let learners = self.members.iter().filter(|member| !voters.contains(&member.node_id));
        let fit = learners.filter(|member| {
            let healthy = match member.suffrage {
                Suffrage::Auto => self.stable.contains(&member.node_id) && !self.awaits_place(member, voters),
                Suffrage::Voter => true,
                Suffrage::Standby => false,
            };
            healthy && self.heard.contains(&member.node_id) && self.lag(member.node_id) <= PROMOTE_LAG_MAX
        });
        fit.min_by_key(|member| (member.suffrage != Suffrage::Voter, member.node_id))
    }

    /// Whose vote is to be taken away: who was asked to stand by, or, above the target, who does not answer or came
    /// last. Never the leader's, and never a vote that the others need for a quorum.
    fn surplus(&self, voters: &BTreeSet<NodeId>) -> Option<NodeId> {
        let others = || voters.iter().copied().filter(|id| *id != self.us);
        let stands_by = |id: &NodeId| self.member(*id).is_some_and(|member| member.suffrage == Suffrage::Standby);
        let too_many = self.voters_target > 0 && voters.len() > self.voters_target;
        let last = || others().min_by_key(|id| (self.heard.contains(id), Reverse(*id)));
        let chosen = others().find(stands_by).or_else(|| if too_many { last() } else { None })?;
        self.has_quorum(&without(voters, chosen)).then_some(chosen)
    }

    /// A member that is cleaned up. A voter only if enough are left, or a spare takes its place.
    fn cleaned_up(&self, voters: &BTreeSet<NodeId>) -> Option<NodeId> {
        let can_go = |id: &&NodeId| {
            let left = without(voters, **id);
            let count = left.len() + usize::from(self.spare(voters).is_some());
            !voters.contains(id) || count >= self.voters_min && self.has_quorum(&left)
        };
        self.dead.iter().find(can_go).copied()
    }
}

pub(super) fn plan(now: &Situation) -> Option<Step> {
    if now.membership.get_joint_config().len() > 1 {
        return Some(Step::Settle);
    }
    let in_raft: BTreeMap<NodeId, &Node> = now.membership.nodes().map(|(id, node)| (*id, node)).collect();
    let voters = now.voters();
    if now.members.is_empty() {
        // Before the cluster is initialised the list says nothing.
        return None;
    }
    let voting = now.members.iter().filter(|member| voters.contains(&member.node_id));
    if let Some(old) = voting.into_iter().find_map(|member| now.predecessor(member)) {
        return Some(Step::Forget(old));
    }
    if let Some(gone) = in_raft.keys().copied().find(|id| now.member(*id).is_none()) {
        let spare = now.spare(&voters).filter(|spare| voters.contains(&gone) && in_raft.contains_key(&spare.node_id));
        return Some(match spare {
            Some(spare) => Step::Promote { learner: spare.node_id, replaces: Some(gone) },
            // Those who stay would wait for each other: with the one that goes they may still be a quorum.
            None if voters.contains(&gone) && !now.has_quorum(&without(&voters, gone)) => return None,
            None => Step::Remove(gone),
        });
    }
    if let Some(new) = now.members.iter().find(|member| !in_raft.contains_key(&member.node_id)) {
        return Some(Step::AddLearner(new.node_id, node(new)));
    }
    // Each member is in Raft from here on, so the look-ups below find what they look for.
    if let Some(moved) = now.members.iter().find(|member| in_raft[&member.node_id] != &node(member)) {
        return Some(Step::Update(moved.node_id, node(moved)));
    }
    let has_room = now.voters_target == 0 || voters.len() < now.voters_target;
    if let Some(spare) = now.spare(&voters) {
        let replaces = now.predecessor(spare).filter(|id| voters.contains(id));
        if has_room || replaces.is_some() {
            return Some(Step::Promote { learner: spare.node_id, replaces });
        }
    }
    if let Some(surplus) = now.surplus(&voters) {
        return Some(Step::Demote(surplus));
    }
    now.cleaned_up(&voters).map(Step::CleanUp)
}

fn without(voters: &BTreeSet<NodeId>, gone: NodeId) -> BTreeSet<NodeId> {
    voters.iter().copied().filter(|id| *id != gone).collect()
}

pub(super) fn node(member: &Member) -> Node {
    let facts = &member.facts;
    Node { name: facts.name.clone(), address: facts.peer_address.clone(), storage_uuid: facts.storage_uuid }
}

#[cfg(test)]
pub(super) mod tests {
    use steeple_state::MemberFacts;

    use super::*;

    pub fn member(node_id: NodeId, name: &str) -> Member {
        let facts = MemberFacts {
            storage_uuid: [node_id as u8; 16],
            name: name.to_owned(),
            peer_address: format!("{name}:1"),
            api_address: String::new(),
        };
        Member { node_id, facts, suffrage: Suffrage::Auto }
    }

    pub struct Case {
        pub members: Vec<Member>,
        pub voters: Vec<NodeId>,
        pub learners: Vec<NodeId>,
        pub matched: Vec<(NodeId, u64)>,
        pub silent: Vec<NodeId>,
        pub sealed: Vec<NodeId>,
        pub unstable: Vec<NodeId>,
        pub dead: Vec<NodeId>,
        pub target: usize,
        /// Raft's idea of the nodes where it is not the list's.
        pub nodes: Vec<(NodeId, Node)>,
    }

    impl Case {
        pub fn situation(&self) -> Situation {
            let mut nodes: BTreeMap<NodeId, Node> =
                self.members.iter().map(|member| (member.node_id, node(member))).collect();
            nodes.extend(self.nodes.iter().cloned());
            nodes.retain(|id, _| self.voters.contains(id) || self.learners.contains(id));
            let membership = Membership::new(vec![self.voters.iter().copied().collect()], nodes).expect("valid");
            let ids = || self.members.iter().map(|member| member.node_id);
            let heard: BTreeSet<NodeId> = ids().filter(|id| !self.silent.contains(id)).collect();
            Situation {
                us: 1,
                members: self.members.clone(),
                membership,
                last_log: 1000,
                matched: self.matched.iter().copied().collect(),
                stable: heard.iter().copied().filter(|id| !self.unstable.contains(id)).collect(),
                heard,
                silent: self.silent.iter().copied().collect(),
                sealed: self.sealed.iter().copied().collect(),
                dead: self.dead.iter().copied().collect(),
                voters_min: 3,
                voters_target: self.target,
            }
        }

        fn plan(&self) -> Option<Step> {
            plan(&self.situation())
        }

        /// One more member, which Raft knows as a learner.
        pub fn with_learner(mut self, node_id: NodeId, name: &str) -> Self {
            self.members.push(member(node_id, name));
            self.learners.push(node_id);
            self.matched.push((node_id, 1000));
            self
        }

        pub fn suffrage(mut self, node_id: NodeId, suffrage: Suffrage) -> Self {
            let member = self.members.iter_mut().find(|member| member.node_id == node_id).expect("a member");
            member.suffrage = suffrage;
            self
        }
    }

    pub fn three() -> Case {
        Case {
            members: vec![member(1, "a"), member(2, "b"), member(3, "c")],
            voters: vec![1, 2, 3],
            learners: vec![],
            matched: vec![(1, 1000), (2, 1000), (3, 1000)],
            silent: vec![],
            sealed: vec![],
            unstable: vec![],
            dead: vec![],
            target: 0,
            nodes: vec![],
        }
    }

    #[test]
    fn a_settled_cluster_is_left_alone() {
        assert_eq!(three().plan(), None);
        assert_eq!(Case { silent: vec![2], ..three() }.plan(), None);
    }

    #[test]
    fn a_new_member_learns_then_votes() {
        let joined = Case { voters: vec![1, 2], ..three() };
        assert_eq!(joined.plan(), Some(Step::AddLearner(3, node(&member(3, "c")))));
        let behind = Case { learners: vec![3], matched: vec![(3, 10)], ..joined };
        assert_eq!(behind.plan(), None);
        let caught_up = Case { matched: vec![(3, 950)], ..behind };
        assert_eq!(caught_up.plan(), Some(Step::Promote { learner: 3, replaces: None }));
        let unheard = Case { silent: vec![3], ..caught_up };
        assert_eq!(unheard.plan(), None);
    }

    #[test]
    fn a_learner_has_to_be_healthy_for_a_while_unless_somebody_wants_it_now() {
        let fresh = || Case { unstable: vec![4], ..three() }.with_learner(4, "d");
        assert_eq!(fresh().plan(), None);
        let wanted = fresh().suffrage(4, Suffrage::Voter);
        assert_eq!(wanted.plan(), Some(Step::Promote { learner: 4, replaces: None }));
        assert_eq!(three().with_learner(4, "d").suffrage(4, Suffrage::Standby).plan(), None);
    }

    #[test]
    fn above_the_target_nobody_is_promoted_and_the_last_stands_by() {
        assert_eq!(Case { target: 3, ..three() }.with_learner(4, "d").plan(), None);
        let mut five = Case { target: 3, ..three() }.with_learner(4, "d").with_learner(5, "e");
        (five.voters, five.learners) = (vec![1, 2, 3, 4, 5], vec![]);
        assert_eq!(five.plan(), Some(Step::Demote(5)));
        five.silent = vec![2];
        assert_eq!(five.plan(), Some(Step::Demote(2)), "the dead one first");
        // With three of five away the others are no quorum; what is left is not made worse.
        five.silent = vec![2, 3, 4];
        assert_eq!(five.plan(), None);
    }

    #[test]
    fn who_is_asked_to_stand_by_does_unless_it_leads_or_is_needed() {
        let stand_by = |id, case: Case| case.suffrage(id, Suffrage::Standby).plan();
        assert_eq!(stand_by(3, three()), Some(Step::Demote(3)));
        assert_eq!(stand_by(1, three()), None);
        assert_eq!(stand_by(3, Case { silent: vec![2], ..three() }), None);
    }

    #[test]
    fn a_spare_takes_the_place_of_a_voter_that_is_gone() {
        let mut case = Case { target: 3, ..three() }.with_learner(4, "d");
        case.members.remove(1);
        case.nodes = vec![(2, node(&member(2, "b")))];
        assert_eq!(case.plan(), Some(Step::Promote { learner: 4, replaces: Some(2) }));
        case.unstable = vec![4];
        assert_eq!(case.plan(), Some(Step::Remove(2)));
    }

    #[test]
    fn a_vote_is_not_taken_away_while_the_others_are_no_quorum() {
        let mut case = three();
        case.members.remove(2);
        case.nodes = vec![(3, node(&member(3, "c")))];
        assert_eq!(case.plan(), Some(Step::Remove(3)));
        case.silent = vec![2];
        assert_eq!(case.plan(), None, "with the third one that is to go they still are one");
        // It was heard a moment ago, and does not answer now.
        let heard_lately = Case { silent: vec![], ..case };
        let answered = BTreeSet::from([3]);
        assert_eq!(plan(&heard_lately.situation().confirmed_by(&answered)), None);
    }

    #[test]
    fn the_dead_are_cleaned_up_down_to_the_floor() {
        let dead = |case: Case| Case { silent: vec![2], dead: vec![2], ..case };
        assert_eq!(dead(three()).plan(), None, "two voters are fewer than the floor");
        let spared = dead(Case { target: 3, ..three() }).with_learner(4, "d");
        assert_eq!(spared.plan(), Some(Step::CleanUp(2)));
        let mut four = dead(three()).with_learner(4, "d");
        (four.voters, four.learners) = (vec![1, 2, 3, 4], vec![]);
        assert_eq!(four.plan(), Some(Step::CleanUp(2)));
        four.silent = vec![2, 3];
        assert_eq!(four.plan(), Some(Step::CleanUp(2)), "two of three are left");
        four.silent = vec![2, 3, 4];
        assert_eq!(four.plan(), None, "one of three is no quorum");
    }

    #[test]
    fn a_wiped_disk_takes_the_place_of_its_name() {
        let mut case = three().with_learner(4, "b");
        case.silent = vec![2];
        assert_eq!(case.plan(), Some(Step::Promote { learner: 4, replaces: Some(2) }));
        (case.voters, case.learners) = (vec![1, 3, 4], vec![2]);
        assert_eq!(case.plan(), Some(Step::Forget(2)));
        case.members.remove(1);
        case.nodes = vec![(2, node(&member(2, "b")))];
        assert_eq!(case.plan(), Some(Step::Remove(2)));
        case.learners = vec![];
        assert_eq!(case.plan(), None);
    }

    #[test]
    fn a_namesake_that_may_be_alive_is_neither_replaced_nor_joined() {
        let mut case = three().with_learner(4, "b");
        assert_eq!(case.plan(), None, "with four voters, three would have to be there");
        case = case.suffrage(4, Suffrage::Voter);
        assert_eq!(case.plan(), Some(Step::Promote { learner: 4, replaces: None }), "an operator wants it");
        case.voters.push(4);
        case.learners.clear();
        assert_eq!(case.plan(), None);
    }

    #[test]
    fn a_change_left_in_the_middle_is_finished_first() {
        let nodes: BTreeMap<NodeId, Node> =
            [member(1, "a"), member(2, "b")].iter().map(|member| (member.node_id, node(member))).collect();
        let joint = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let membership = Membership::new(joint, nodes).expect("valid");
        assert_eq!(plan(&Situation { membership, ..three().situation() }), Some(Step::Settle));
    }

    #[test]
    fn a_moved_member_is_found_at_its_new_address() {
        let old = Node { address: "old:1".to_owned(), ..node(&member(2, "b")) };
        let case = Case { nodes: vec![(2, old)], ..three() };
        assert_eq!(case.plan(), Some(Step::Update(2, node(&member(2, "b")))));
    }
}
