//! What should be done next about the membership, as a pure function of what is committed and who answers.

use std::collections::{BTreeMap, BTreeSet};

use steeple_state::Member;

use super::types::{Membership, Node, NodeId};

/// Entries that a learner may lack when it becomes a voter: it catches up with them while the change commits.
const PROMOTE_LAG_MAX: u64 = 100;

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
    /// A member changed its name or address.
    Update(NodeId, Node),
    /// Takes a node that is no member any more out of Raft.
    Remove(NodeId),
    /// Takes a member whose place another one took off the list.
    Forget(NodeId),
}

/// What a plan is made from.
pub(super) struct Situation<'a> {
    pub(super) us: NodeId,
    pub(super) members: &'a [Member],
    pub(super) membership: &'a Membership,
    pub(super) last_log: u64,
    /// How much of the log each node holds.
    pub(super) matched: &'a BTreeMap<NodeId, u64>,
    pub(super) heard: &'a BTreeSet<NodeId>,
    pub(super) silent: &'a BTreeSet<NodeId>,
}

pub(super) fn plan(now: &Situation<'_>) -> Option<Step> {
    if now.membership.get_joint_config().len() > 1 {
        return Some(Step::Settle);
    }
    let in_raft: BTreeMap<NodeId, &Node> = now.membership.nodes().map(|(id, node)| (*id, node)).collect();
    let voters: BTreeSet<NodeId> = now.membership.voter_ids().collect();
    let on_list: BTreeMap<NodeId, &Member> = now.members.iter().map(|member| (member.node_id, member)).collect();
    if on_list.is_empty() {
        // Before the cluster is initialised the list says nothing.
        return None;
    }
    let predecessor = |successor: &Member| {
        let same_name = now.members.iter().filter(|other| other.facts.name == successor.facts.name);
        same_name
            .map(|other| other.node_id)
            .find(|id| *id < successor.node_id && now.silent.contains(id) && *id != now.us)
    };

    let replaced = now.members.iter().filter(|member| voters.contains(&member.node_id)).find_map(predecessor);
    if let Some(old) = replaced {
        return Some(Step::Forget(old));
    }
    if let Some(gone) = in_raft.keys().find(|id| !on_list.contains_key(id)) {
        return Some(Step::Remove(*gone));
    }
    if let Some(new) = now.members.iter().find(|member| !in_raft.contains_key(&member.node_id)) {
        return Some(Step::AddLearner(new.node_id, node(new)));
    }
    // Each member is in Raft from here on, so the look-ups below find what they look for.
    if let Some(moved) = now.members.iter().find(|member| in_raft[&member.node_id] != &node(member)) {
        return Some(Step::Update(moved.node_id, node(moved)));
    }
    let caught_up = |id: &NodeId| {
        now.heard.contains(id) && now.matched.get(id).is_some_and(|index| index + PROMOTE_LAG_MAX >= now.last_log)
    };
    let learner = on_list.keys().find(|id| !voters.contains(id) && caught_up(id))?;
    let replaces = predecessor(on_list[learner]).filter(|id| voters.contains(id));
    Some(Step::Promote { learner: *learner, replaces })
}

fn node(member: &Member) -> Node {
    let facts = &member.facts;
    Node { name: facts.name.clone(), address: facts.peer_address.clone(), storage_uuid: facts.storage_uuid }
}

#[cfg(test)]
mod tests {
    use steeple_state::MemberFacts;

    use super::*;

    fn member(node_id: NodeId, name: &str) -> Member {
        let facts = MemberFacts {
            storage_uuid: [node_id as u8; 16],
            name: name.to_owned(),
            peer_address: format!("{name}:1"),
            api_address: String::new(),
        };
        Member { node_id, facts }
    }

    struct Case {
        members: Vec<Member>,
        voters: Vec<NodeId>,
        learners: Vec<NodeId>,
        matched: Vec<(NodeId, u64)>,
        silent: Vec<NodeId>,
        /// Raft's idea of the nodes where it is not the list's.
        nodes: Vec<(NodeId, Node)>,
    }

    impl Case {
        fn plan(&self) -> Option<Step> {
            let mut nodes: BTreeMap<NodeId, Node> =
                self.members.iter().map(|member| (member.node_id, node(member))).collect();
            nodes.extend(self.nodes.iter().cloned());
            nodes.retain(|id, _| self.voters.contains(id) || self.learners.contains(id));
            let membership = Membership::new(vec![self.voters.iter().copied().collect()], nodes).expect("valid");
            let silent: BTreeSet<NodeId> = self.silent.iter().copied().collect();
            let heard = self.members.iter().map(|member| member.node_id).filter(|id| !silent.contains(id)).collect();
            plan(&Situation {
                us: 1,
                members: &self.members,
                membership: &membership,
                last_log: 1000,
                matched: &self.matched.iter().copied().collect(),
                heard: &heard,
                silent: &silent,
            })
        }
    }

    fn three() -> Case {
        Case {
            members: vec![member(1, "a"), member(2, "b"), member(3, "c")],
            voters: vec![1, 2, 3],
            learners: vec![],
            matched: vec![(1, 1000), (2, 1000), (3, 1000)],
            silent: vec![],
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
    fn a_wiped_disk_takes_the_place_of_its_name() {
        let mut case = three();
        case.members.push(member(4, "b"));
        case.silent = vec![2];
        case.learners = vec![4];
        case.matched.push((4, 1000));
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
    fn a_living_namesake_is_never_replaced() {
        let mut case = three();
        case.members.push(member(4, "b"));
        case.learners = vec![4];
        case.matched.push((4, 1000));
        assert_eq!(case.plan(), Some(Step::Promote { learner: 4, replaces: None }));
        case.voters.push(4);
        case.learners.clear();
        assert_eq!(case.plan(), None);
    }

    #[test]
    fn a_change_left_in_the_middle_is_finished_first() {
        let members = [member(1, "a"), member(2, "b")];
        let nodes: BTreeMap<NodeId, Node> = members.iter().map(|member| (member.node_id, node(member))).collect();
        let joint = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let step = plan(&Situation {
            us: 1,
            members: &members,
            membership: &Membership::new(joint, nodes).expect("valid"),
            last_log: 10,
            matched: &BTreeMap::from([(1, 10), (2, 10)]),
            heard: &BTreeSet::from([1, 2]),
            silent: &BTreeSet::new(),
        });
        assert_eq!(step, Some(Step::Settle));
    }

    #[test]
    fn a_moved_member_is_found_at_its_new_address() {
        let old = Node { address: "old:1".to_owned(), ..node(&member(2, "b")) };
        let case = Case { nodes: vec![(2, old)], ..three() };
        assert_eq!(case.plan(), Some(Step::Update(2, node(&member(2, "b")))));
    }
}
