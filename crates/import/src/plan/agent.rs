//! Attested agents with their serials and selectors. A ban is an empty serial, there as here.

use std::collections::BTreeMap;

use steeple_core::{AttestedAgent, Selector, SpiffeId};

use super::{Noun, Plan};
use crate::Database;

pub(super) fn read(database: &Database, plan: &mut Plan) {
    let mut selectors: BTreeMap<&str, Vec<Selector>> = BTreeMap::new();
    for row in &database.node_selectors {
        match Selector::new(&row.kind, &row.value) {
            Ok(selector) => selectors.entry(&row.spiffe_id).or_default().push(selector),
            Err(error) => plan.leave(Noun::Agent, &row.spiffe_id, format!("one of its selectors: {error}")),
        }
    }
    for row in &database.agents {
        let of_agent = selectors.remove(row.spiffe_id.as_str()).unwrap_or_default();
        let id = match SpiffeId::parse(&row.spiffe_id) {
            Ok(id) => id,
            Err(error) => {
                plan.leave(Noun::Agent, &row.spiffe_id, error);
                continue;
            }
        };
        plan.agents.push(AttestedAgent {
            id,
            attestation_type: row.attestation_type.clone(),
            serial: row.serial.clone(),
            not_after: row.not_after,
            new_serial: row.new_serial.clone(),
            // A banned agent may keep the date of a serial that is gone.
            new_not_after: if row.new_serial.is_empty() { 0 } else { row.new_not_after },
            can_reattest: row.can_reattest,
            selectors: of_agent.into_iter().collect(),
            agent_version: row.agent_version.clone(),
        });
    }
    for spiffe_id in selectors.into_keys() {
        plan.leave(Noun::Agent, spiffe_id, "selectors of an agent that is gone");
    }
}
