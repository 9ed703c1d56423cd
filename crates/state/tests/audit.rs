//! Anchors of audit chains.

mod common;

use common::Replica;
use steeple_state::limits::{AUDIT_ANCHORS_MAX, AUDIT_CHAINS_MAX};
use steeple_state::{AuditAnchor, CLUSTER_VERSION_AUDIT_ANCHORS, Code, CommandKind, Outcome, State};

fn anchor(node_id: u64, epoch: u64, sequence: u64, hash: u8) -> CommandKind {
    CommandKind::SetAuditAnchor { anchor: AuditAnchor { node_id, epoch, sequence, hash: [hash; 32] } }
}

fn refused(outcome: Outcome) -> Option<Code> {
    match outcome {
        Outcome::Rejected(why) => Some(why.code),
        _ => None,
    }
}

/// Epoch and sequence of what is kept of a node.
fn kept(state: &State, node_id: u64) -> Vec<(u64, u64)> {
    state.audit_anchors_of(node_id).map(|kept| (kept.anchor.epoch, kept.anchor.sequence)).collect()
}

#[test]
fn a_chain_moves_forwards_only_and_an_ended_one_stays() {
    let mut replica = Replica::new();
    for sequence in [1, 5, 9] {
        assert_eq!(refused(replica.run(anchor(1, 100, sequence, 1))), None);
    }
    assert_eq!(refused(replica.run(anchor(1, 100, 8, 1))), Some(Code::FailedPrecondition));
    assert_eq!(refused(replica.run(anchor(1, 100, 9, 2))), Some(Code::FailedPrecondition), "another record");
    assert_eq!(refused(replica.run(anchor(1, 100, 9, 1))), None, "a retry");
    let first = replica.state.audit_anchors_of(1).next().cloned().expect("an anchor");
    assert_eq!((first.anchor.sequence, first.at), (9, replica.at));

    assert_eq!(refused(replica.run(anchor(1, 200, 1, 3))), None);
    assert_eq!(refused(replica.run(anchor(1, 100, 10, 1))), Some(Code::FailedPrecondition));
    assert_eq!(refused(replica.run(anchor(2, 50, 7, 1))), None, "each node has chains of its own");
    assert_eq!(refused(replica.run(anchor(2, 50, 0, 1))), Some(Code::InvalidArgument));
    assert_eq!((kept(&replica.state, 1), kept(&replica.state, 2)), (vec![(100, 9), (200, 1)], vec![(50, 7)]));
    assert_eq!(replica.reloaded(), replica.state);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut replica = Replica::new();
    for epoch in 1..=AUDIT_CHAINS_MAX as u64 + 3 {
        assert_eq!(refused(replica.run(anchor(1, epoch, 1, 1))), None);
    }
    let of_first = kept(&replica.state, 1);
    assert_eq!((of_first.len(), of_first.first()), (AUDIT_CHAINS_MAX, Some(&(4, 1))), "the oldest chains went");
    for node_id in 2..AUDIT_ANCHORS_MAX as u64 + 10 {
        assert_eq!(refused(replica.run(anchor(node_id, 1, 1, 1))), None);
    }
    assert_eq!(replica.state.audit_anchors().count(), AUDIT_ANCHORS_MAX);
    assert_eq!(kept(&replica.state, AUDIT_ANCHORS_MAX as u64 + 9), [(1, 1)]);
    assert_eq!(replica.reloaded(), replica.state);
}

#[test]
fn nothing_of_it_is_written_before_every_release_knows_it() {
    assert_eq!(anchor(1, 1, 1, 1).needs_version(), CLUSTER_VERSION_AUDIT_ANCHORS);
}
