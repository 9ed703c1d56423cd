//! Whether the replicas hold one state, as a pure function of what each held at the same place of the log.
//!
//! A log makes replicas equal only while none of them has a defect, in its program or on its disk. Checksums find a
//! block that changed; this finds rows that are well-formed and wrong. The quorum is right by definition: a replica
//! whose state is another one than a quorum's is the one that errs, whoever leads.

use std::collections::{BTreeMap, BTreeSet};

use steeple_state::StateHash;

use super::types::NodeId;

/// Checkpoints that a replica keeps: those whose reports may still arrive.
pub(super) const CHECKPOINTS_MAX: usize = 4;

/// A replica's state after the log entry at `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) index: u64,
    pub(super) hash: StateHash,
}

/// This replica's state is not the cluster's. Nothing it says can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state of node {node_id} differs from that of a quorum since log index {index} at the latest ({ours} here, \
     {theirs} there), so it serves nothing and does not lead: stop it, keep its data directory for the report of this \
     defect, and start it again on an empty one, with cluster.join naming the other replicas (keep the sealing key)"
)]
pub struct Divergence {
    pub node_id: NodeId,
    pub index: u64,
    pub ours: StateHash,
    pub theirs: StateHash,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Too few states are known at one index.
    #[default]
    Unknown,
    /// A quorum holds this replica's state, and so many members hold another one.
    Ours { differing: usize },
    /// A quorum holds another state.
    Diverged(Divergence),
    /// So many members hold another state, and no quorum holds any: nobody can say who errs, so everybody goes on.
    Undecided { differing: usize },
}

impl Agreement {
    /// Members whose state is another one than this replica's.
    pub(super) fn differing(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Ours { differing } | Self::Undecided { differing } => *differing,
            Self::Diverged(_) => 1,
        }
    }
}

/// Compares at the latest of `ours` that enough others reported.
pub(super) fn judge(
    us: NodeId,
    voters: &BTreeSet<NodeId>,
    ours: impl IntoIterator<Item = Checkpoint>,
    theirs: &BTreeMap<NodeId, Checkpoint>,
) -> Agreement {
    let judged = ours.into_iter().map(|ours| judge_at(us, voters, ours, theirs));
    let known = judged.max_by_key(|(index, agreement)| (*agreement != Agreement::Unknown, *index));
    known.map(|(_, agreement)| agreement).unwrap_or_default()
}

fn judge_at(
    us: NodeId,
    voters: &BTreeSet<NodeId>,
    ours: Checkpoint,
    theirs: &BTreeMap<NodeId, Checkpoint>,
) -> (u64, Agreement) {
    let others = theirs.iter().filter(|(id, there)| **id != us && there.index == ours.index);
    let mut held: BTreeMap<NodeId, StateHash> = others.map(|(id, there)| (*id, there.hash)).collect();
    held.insert(us, ours.hash);
    let quorum = voters.len() / 2 + 1;
    let votes = |hash: StateHash| voters.iter().filter(|id| held.get(id) == Some(&hash)).count();
    let differing = held.values().filter(|hash| **hash != ours.hash).count();
    let agreement = match held.values().find(|hash| votes(**hash) >= quorum) {
        Some(hash) if *hash == ours.hash => Agreement::Ours { differing },
        Some(theirs) => {
            Agreement::Diverged(Divergence { node_id: us, index: ours.index, ours: ours.hash, theirs: *theirs })
        }
        None if differing > 0 => Agreement::Undecided { differing },
        None => Agreement::Unknown,
    };
    (ours.index, agreement)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOTERS: [NodeId; 3] = [1, 2, 3];

    fn at(index: u64, state: u8) -> Checkpoint {
        Checkpoint { index, hash: StateHash::from_bytes(&[state; 32]) }
    }

    fn judged(us: NodeId, ours: &[Checkpoint], theirs: &[(NodeId, Checkpoint)]) -> Agreement {
        judge(us, &VOTERS.into(), ours.iter().copied(), &theirs.iter().copied().collect())
    }

    #[test]
    fn one_of_three_is_the_one_that_errs_whoever_it_is() {
        let odd = judged(1, &[at(7, 9)], &[(2, at(7, 0)), (3, at(7, 0))]);
        let Agreement::Diverged(divergence) = odd else { panic!("{odd:?}") };
        assert_eq!((divergence.node_id, divergence.index), (1, 7));
        assert!(divergence.to_string().contains("start it again on an empty one"), "{divergence}");
        let right = judged(2, &[at(7, 0)], &[(1, at(7, 9)), (3, at(7, 0))]);
        assert_eq!(right, Agreement::Ours { differing: 1 });
    }

    #[test]
    fn without_a_quorum_nobody_is_fenced() {
        assert_eq!(judged(1, &[at(7, 9)], &[(2, at(7, 0))]), Agreement::Undecided { differing: 1 });
        let all_differ = judged(1, &[at(7, 1)], &[(2, at(7, 2)), (3, at(7, 3))]);
        assert_eq!(all_differ, Agreement::Undecided { differing: 2 });
    }

    #[test]
    fn states_at_different_indexes_are_not_compared() {
        assert_eq!(judged(1, &[at(7, 9)], &[(2, at(8, 0)), (3, at(8, 0))]), Agreement::Unknown);
        assert_eq!(judged(1, &[], &[(2, at(8, 0)), (3, at(8, 0))]), Agreement::Unknown);
    }

    #[test]
    fn the_latest_index_that_enough_reported_counts() {
        let ours = [at(7, 0), at(8, 0)];
        assert_eq!(judged(1, &ours, &[(2, at(7, 0)), (3, at(7, 0))]), Agreement::Ours { differing: 0 });
        let newer = judged(1, &[at(7, 0), at(8, 9)], &[(2, at(8, 0)), (3, at(8, 0))]);
        assert!(matches!(newer, Agreement::Diverged(Divergence { index: 8, .. })), "{newer:?}");
    }

    #[test]
    fn a_learner_has_no_say_and_is_judged_all_the_same() {
        let right = judged(1, &[at(7, 0)], &[(2, at(7, 0)), (4, at(7, 9))]);
        assert_eq!(right, Agreement::Ours { differing: 1 });
        let learner = judged(4, &[at(7, 9)], &[(1, at(7, 0)), (2, at(7, 0))]);
        assert!(matches!(learner, Agreement::Diverged(_)), "{learner:?}");
    }
}
