//! What an operator may change about the membership, as a pure function: the commands that do it, or why not.
//!
//! The commands only say what is wanted. The leader's care for the membership (`membership_plan`) follows them step by
//! step, each of which keeps a quorum of its own.

use std::collections::BTreeSet;

use steeple_state::{CommandKind, Suffrage};
use tonic::Code;

use super::membership_plan::{PROMOTE_LAG_MAX, Situation};
use super::types::NodeId;

/// Voters beyond these add copies to every write and no safety that anybody needs.
const TARGETS: [u32; 5] = [0, 1, 3, 5, 7];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A learner shall vote.
    Promote(NodeId),
    /// A voter shall stand by.
    Demote(NodeId),
    /// A member leaves for good.
    Remove(NodeId),
    /// A learner takes the place of a voter, which leaves for good.
    Replace { old: NodeId, new: NodeId },
    /// So many members vote, the others stand by; 0 is all.
    SetTarget(u32),
}

impl Change {
    /// Whether `id` is no member afterwards.
    pub(super) fn ends(self, id: NodeId) -> bool {
        matches!(self, Self::Remove(gone) | Self::Replace { old: gone, .. } if gone == id)
    }
}

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
    #[error("without node {0} nobody could lead: the voters that answer are sealed; see `seal status`")]
    WouldLoseLeader(NodeId),
    #[error("node {0} is the only voter; stop the server instead")]
    LastVoter(NodeId),
    #[error("node {0} votes already")]
    VotesAlready(NodeId),
    #[error("node {0} does not vote; see `cluster list`")]
    NoVoter(NodeId),
    #[error("node {0} leads; hand leadership over first (`cluster transfer-leader`)")]
    Leads(NodeId),
    #[error("node {0} does not answer; start it first")]
    Silent(NodeId),
    #[error("node {node_id} lacks {lag} entries of the log, and a quorum with it would wait; retry when it caught up")]
    Behind { node_id: NodeId, lag: u64 },
    #[error("{0} members vote, which is the target; raise it (`cluster set-target`) or demote another one first")]
    TargetReached(usize),
    #[error("{0} voters: use 1, 3, 5 or 7 (an even number survives no more failures than the one below it), or 0")]
    Target(u32),
    #[error("with {target} voters only {alive} would be alive, which is no quorum; bring others back first")]
    TargetWithoutQuorum { target: u32, alive: usize },
    #[error("this needs cluster version {needs}, and the cluster is at {has}; run `cluster finalize`")]
    NotFinalized { needs: u32, has: u32 },
    #[error("node {0} does not answer, so nobody knows whether its release can follow; start it, or remove it")]
    Unasked(NodeId),
    #[error("node {0} is not a voter that holds the whole log; see `cluster list`")]
    NotReady(NodeId),
    #[error("no other voter is ready to lead; see `cluster list`")]
    NoSuccessor,
    #[error("the change did not complete in time; see `cluster status`")]
    Timeout,
    #[error("{0}")]
    Refused(String),
    /// By the leader.
    #[error("{1}")]
    Told(Code, String),
}

/// What has to be written, in this order.
pub(super) fn commands(change: Change, now: &Situation) -> Result<Vec<CommandKind>, MembershipError> {
    let voters = now.voters();
    let suffrage = |node_id, suffrage| CommandKind::SetSuffrage { node_id, suffrage };
    match change {
        Change::Promote(id) => {
            may_vote(id, now, &voters)?;
            if now.voters_target > 0 && voters.len() >= now.voters_target {
                return Err(MembershipError::TargetReached(voters.len()));
            }
            Ok(vec![suffrage(id, Suffrage::Voter)])
        }
        Change::Demote(id) => {
            is_voter(id, now, &voters)?;
            if id == now.us {
                return Err(MembershipError::Leads(id));
            }
            keeps_quorum_without(id, None, now, &voters)?;
            Ok(vec![suffrage(id, Suffrage::Standby)])
        }
        Change::Remove(id) => {
            now.member(id).ok_or(MembershipError::UnknownMember(id))?;
            keeps_quorum_without(id, None, now, &voters)?;
            Ok(vec![CommandKind::RemoveMember { node_id: id }])
        }
        Change::Replace { old, new } => {
            is_voter(old, now, &voters)?;
            may_vote(new, now, &voters)?;
            keeps_quorum_without(old, Some(new), now, &voters)?;
            // Once it is the one that votes next, the plan puts it where the old one was.
            Ok(vec![suffrage(new, Suffrage::Voter), CommandKind::RemoveMember { node_id: old }])
        }
        Change::SetTarget(target) => {
            if !TARGETS.contains(&target) {
                return Err(MembershipError::Target(target));
            }
            let alive = now.alive(&voters);
            // Who does not answer stands by first.
            if target > 0 && (target as usize) < voters.len() && alive < target as usize / 2 + 1 {
                return Err(MembershipError::TargetWithoutQuorum { target, alive });
            }
            Ok(vec![CommandKind::SetVotersTarget { voters: target }])
        }
    }
}

fn is_voter(id: NodeId, now: &Situation, voters: &BTreeSet<NodeId>) -> Result<(), MembershipError> {
    now.member(id).ok_or(MembershipError::UnknownMember(id))?;
    if voters.contains(&id) { Ok(()) } else { Err(MembershipError::NoVoter(id)) }
}

/// Whether the learner `id` could vote without delaying every write.
fn may_vote(id: NodeId, now: &Situation, voters: &BTreeSet<NodeId>) -> Result<(), MembershipError> {
    now.member(id).ok_or(MembershipError::UnknownMember(id))?;
    if voters.contains(&id) {
        return Err(MembershipError::VotesAlready(id));
    }
    if !now.heard.contains(&id) {
        return Err(MembershipError::Silent(id));
    }
    match now.lag(id) {
        0..=PROMOTE_LAG_MAX => Ok(()),
        lag => Err(MembershipError::Behind { node_id: id, lag }),
    }
}

/// Refuses what would leave the cluster without a quorum of voters that answer, or without one of them that can lead.
fn keeps_quorum_without(
    id: NodeId,
    instead: Option<NodeId>,
    now: &Situation,
    voters: &BTreeSet<NodeId>,
) -> Result<(), MembershipError> {
    let left: BTreeSet<NodeId> = voters.iter().copied().filter(|voter| *voter != id).chain(instead).collect();
    match now.alive(&left) {
        _ if left.is_empty() => Err(MembershipError::LastVoter(id)),
        _ if now.has_quorum(&left) && now.has_leader_among(&left) => Ok(()),
        _ if now.has_quorum(&left) => Err(MembershipError::WouldLoseLeader(id)),
        alive => Err(MembershipError::WouldLoseQuorum { node_id: id, alive, voters: left.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership_plan::tests::{Case, three};
    use super::*;

    fn four() -> Case {
        three().with_learner(4, "d")
    }

    fn asked(change: Change, case: &Case) -> Result<Vec<CommandKind>, MembershipError> {
        commands(change, &case.situation())
    }

    fn suffrage(node_id: NodeId, suffrage: Suffrage) -> CommandKind {
        CommandKind::SetSuffrage { node_id, suffrage }
    }

    #[test]
    fn a_learner_is_promoted_when_it_can_keep_up() {
        assert_eq!(asked(Change::Promote(4), &four()), Ok(vec![suffrage(4, Suffrage::Voter)]));
        assert_eq!(asked(Change::Promote(3), &four()), Err(MembershipError::VotesAlready(3)));
        assert_eq!(asked(Change::Promote(9), &four()), Err(MembershipError::UnknownMember(9)));
        let silent = Case { silent: vec![4], ..four() };
        assert_eq!(asked(Change::Promote(4), &silent), Err(MembershipError::Silent(4)));
        let behind = Case { matched: vec![(4, 10)], ..four() };
        assert_eq!(asked(Change::Promote(4), &behind), Err(MembershipError::Behind { node_id: 4, lag: 990 }));
        let full = Case { target: 3, ..four() };
        assert_eq!(asked(Change::Promote(4), &full), Err(MembershipError::TargetReached(3)));
    }

    #[test]
    fn a_vote_that_a_quorum_needs_is_kept() {
        assert_eq!(asked(Change::Demote(3), &three()), Ok(vec![suffrage(3, Suffrage::Standby)]));
        assert_eq!(asked(Change::Demote(1), &three()), Err(MembershipError::Leads(1)));
        assert_eq!(asked(Change::Demote(4), &four()), Err(MembershipError::NoVoter(4)));
        let one_away = Case { silent: vec![2], ..three() };
        let lost = |node_id| Err(MembershipError::WouldLoseQuorum { node_id, alive: 1, voters: 2 });
        assert_eq!(asked(Change::Demote(3), &one_away), lost(3));
        assert_eq!(asked(Change::Remove(3), &one_away), lost(3));
        assert_eq!(asked(Change::Demote(2), &one_away), Ok(vec![suffrage(2, Suffrage::Standby)]));
        assert_eq!(asked(Change::Remove(2), &one_away), Ok(vec![CommandKind::RemoveMember { node_id: 2 }]));
        let alone = Case { voters: vec![1], ..three() };
        assert_eq!(asked(Change::Remove(1), &alone), Err(MembershipError::LastVoter(1)));
    }

    #[test]
    fn the_last_voter_that_can_lead_is_kept() {
        let sealed = Case { sealed: vec![2, 3], ..three() };
        assert_eq!(asked(Change::Remove(1), &sealed), Err(MembershipError::WouldLoseLeader(1)));
        assert!(asked(Change::Remove(3), &sealed).is_ok());
        let one_left = Case { sealed: vec![2], ..three() };
        assert!(asked(Change::Remove(1), &one_left).is_ok());
        let away = Case { silent: vec![3], ..one_left };
        let lost = MembershipError::WouldLoseQuorum { node_id: 1, alive: 1, voters: 2 };
        assert_eq!(asked(Change::Remove(1), &away), Err(lost));
    }

    #[test]
    fn a_replacement_keeps_the_number_of_voters() {
        let one_away = Case { silent: vec![2], ..four() };
        let replaced = Ok(vec![suffrage(4, Suffrage::Voter), CommandKind::RemoveMember { node_id: 2 }]);
        assert_eq!(asked(Change::Replace { old: 2, new: 4 }, &one_away), replaced);
        assert!(asked(Change::Replace { old: 3, new: 4 }, &one_away).is_ok(), "1 and 4 are two of three");
        assert_eq!(asked(Change::Replace { old: 4, new: 2 }, &four()), Err(MembershipError::NoVoter(4)));
        let two_away = Case { silent: vec![2, 4], ..four() };
        assert_eq!(asked(Change::Replace { old: 3, new: 4 }, &two_away), Err(MembershipError::Silent(4)));
    }

    #[test]
    fn a_target_is_odd_and_leaves_a_quorum() {
        let set = |voters| Ok(vec![CommandKind::SetVotersTarget { voters }]);
        for target in [0, 1, 3, 7] {
            assert_eq!(asked(Change::SetTarget(target), &three()), set(target));
        }
        for target in [2, 4, 9] {
            assert_eq!(asked(Change::SetTarget(target), &three()), Err(MembershipError::Target(target)));
        }
        let mut five = four().with_learner(5, "e");
        (five.voters, five.learners, five.silent) = (vec![1, 2, 3, 4, 5], vec![], vec![2, 3, 4, 5]);
        let lost = Err(MembershipError::TargetWithoutQuorum { target: 3, alive: 1 });
        assert_eq!(asked(Change::SetTarget(3), &five), lost);
    }
}
