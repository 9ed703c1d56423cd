//! How a server goes on with what it finds in its audit file.

use steeple_core::Timestamp;
use steeple_state::AuditAnchor;

use super::{Head, Record};

/// The end of the latest file that has one.
#[derive(Clone, Debug, PartialEq)]
pub enum Tail {
    /// There is no file, or nothing in it.
    Nothing,
    Record(Box<Record>),
    /// The last whole line is something else.
    Unreadable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    Continue(Head),
    Begin {
        head: Head,
        reason: String,
        /// What should be there is not.
        is_break: bool,
    },
}

/// `anchor` is the latest one of this node. A chain that is shorter than its anchor is not continued: what is missing
/// would be written over.
pub fn resume(tail: &Tail, node_id: u64, anchor: Option<&AuditAnchor>, now: Timestamp) -> Resume {
    let known = match tail {
        Tail::Record(record) => Some(&record.head),
        Tail::Nothing | Tail::Unreadable => None,
    };
    let begin = |is_break: bool, reason: String| {
        let later_than = |epoch: Option<u64>| epoch.map_or(0, |epoch| epoch.saturating_add(1));
        let now = u64::try_from(now.as_ms()).unwrap_or(0);
        let epoch = now.max(later_than(known.map(|head| head.epoch))).max(later_than(anchor.map(|a| a.epoch)));
        Resume::Begin { head: Head::beginning(node_id, epoch), reason, is_break }
    };
    let Some(head) = known else {
        return match (tail, anchor) {
            (Tail::Unreadable, _) => begin(true, "the last line before is no audit record".to_owned()),
            (_, Some(AuditAnchor { epoch, sequence, .. })) => {
                begin(true, format!("the cluster knows record {sequence} of chain {epoch}, and no file has it"))
            }
            (_, None) => begin(false, "the first chain of this replica".to_owned()),
        };
    };
    if head.node_id != node_id {
        return begin(false, format!("the file is of node {}, and this is node {node_id}", head.node_id));
    }
    match anchor {
        Some(anchor) if anchor.epoch > head.epoch => begin(
            true,
            format!("the file ends with chain {}, and the cluster knows chain {}", head.epoch, anchor.epoch),
        ),
        Some(anchor) if anchor.epoch == head.epoch && anchor.sequence > head.sequence => begin(
            true,
            format!(
                "chain {} ends with record {}, and the cluster knows record {}",
                head.epoch, head.sequence, anchor.sequence
            ),
        ),
        Some(anchor) if anchor.epoch == head.epoch && anchor.sequence == head.sequence && anchor.hash != head.hash => {
            begin(true, format!("the cluster knows another record {} of chain {}", head.sequence, head.epoch))
        }
        _ => Resume::Continue(head.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(500);

    fn tail(epoch: u64, sequence: u64, hash: u8) -> Tail {
        let head = Head { node_id: 1, epoch, sequence, hash: [hash; 32] };
        let (time, previous) = (String::new(), [0; 32]);
        Tail::Record(Box::new(Record { time, head, index: 0, term: 0, previous, fields: Map::new() }))
    }

    fn anchor(epoch: u64, sequence: u64, hash: u8) -> Option<AuditAnchor> {
        Some(AuditAnchor { node_id: 1, epoch, sequence, hash: [hash; 32] })
    }

    /// The epoch, and whether something is missing; `None` where the chain goes on.
    fn begun(tail: &Tail, anchor: Option<AuditAnchor>) -> Option<(u64, bool)> {
        match resume(tail, 1, anchor.as_ref(), NOW) {
            Resume::Continue(_) => None,
            Resume::Begin { head, is_break, .. } => Some((head.epoch, is_break)),
        }
    }

    #[test]
    fn what_is_as_long_as_its_anchor_goes_on() {
        for known in [None, anchor(100, 7, 1), anchor(100, 3, 9), anchor(90, 99, 9)] {
            assert_eq!(begun(&tail(100, 7, 1), known), None);
        }
    }

    #[test]
    fn what_is_missing_is_not_written_over() {
        for known in [anchor(100, 8, 1), anchor(100, 7, 2), anchor(101, 1, 1)] {
            assert_eq!(begun(&tail(100, 7, 1), known), Some((500, true)));
        }
        assert_eq!(begun(&tail(900, 7, 1), anchor(950, 1, 1)), Some((951, true)), "the clock went back");
        assert_eq!(begun(&Tail::Nothing, anchor(100, 7, 1)), Some((500, true)));
        assert_eq!(begun(&Tail::Unreadable, None), Some((500, true)));
    }

    #[test]
    fn a_new_replica_begins_a_chain_and_nothing_is_missing() {
        assert_eq!(begun(&Tail::Nothing, None), Some((500, false)));
        let Resume::Begin { head, is_break: false, .. } = resume(&tail(100, 7, 1), 2, None, NOW) else {
            panic!("another node's file");
        };
        assert_eq!((head.node_id, head.sequence), (2, 0));
    }
}
