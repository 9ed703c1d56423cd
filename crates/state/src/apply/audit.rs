//! Anchors of audit chains: within a chain they only move forwards, and a chain that another one followed stays as it
//! was.

use super::writer::Writer;
use crate::limits::{AUDIT_ANCHORS_MAX, AUDIT_CHAINS_MAX};
use crate::{AuditAnchor, KeptAnchor, Outcome, Rejection};

/// The same one again is a retry.
pub(super) fn set_anchor(writer: &mut Writer<'_>, anchor: &AuditAnchor) -> Result<Outcome, Rejection> {
    let AuditAnchor { node_id, epoch, sequence, hash } = anchor;
    if *sequence == 0 {
        return Err(Rejection::invalid("the records of an audit chain are counted from 1"));
    }
    let newest = writer.state().audit_anchors_of(*node_id).next_back().cloned();
    match newest.map(|kept| kept.anchor) {
        Some(known) if known.epoch > *epoch => {
            let message = format!("node {node_id} began audit chain {} after chain {epoch}", known.epoch);
            return Err(Rejection::precondition(message));
        }
        Some(known) if known.epoch == *epoch && known.sequence > *sequence => {
            let message = format!("audit chain {epoch} of node {node_id} had {} records before", known.sequence);
            return Err(Rejection::precondition(message));
        }
        Some(known) if known.epoch == *epoch && known.sequence == *sequence => {
            return match known.hash == *hash {
                true => Ok(Outcome::Done),
                false => Err(Rejection::precondition(format!(
                    "record {sequence} of audit chain {epoch} of node {node_id} was another one before"
                ))),
            };
        }
        _ => {}
    }
    let (index, at) = (writer.index(), writer.now());
    writer.put_audit_anchor(KeptAnchor { anchor: anchor.clone(), index, at });
    let of_node = writer.state().audit_anchors_of(*node_id);
    let oldest = of_node.clone().next().map(|kept| kept.anchor.epoch);
    if let (true, Some(oldest)) = (of_node.count() > AUDIT_CHAINS_MAX, oldest) {
        writer.remove_audit_anchor((*node_id, oldest));
    }
    // Those of members that left long ago.
    while writer.state().audit_anchors.len() > AUDIT_ANCHORS_MAX {
        let oldest = writer.state().audit_anchors().min_by_key(|kept| (kept.index, kept.anchor.node_id));
        let Some(oldest) = oldest.map(|kept| (kept.anchor.node_id, kept.anchor.epoch)) else { break };
        writer.remove_audit_anchor(oldest);
    }
    Ok(Outcome::Done)
}
