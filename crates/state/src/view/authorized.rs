//! Which entries an agent may see (SPIRE behaviour): those below its own ID, those below the node aliases whose
//! selectors all lie among its own, and, transitively, those below these. Aliases themselves are not handed out.

use std::collections::BTreeSet;
use std::sync::Arc;

use steeple_core::{AttestedAgent, Entry, SpiffeId};

use crate::State;
use crate::index::NumberSet;

/// Whether `entry` gives a second ID to nodes: its parent is `/spire/server`.
pub fn is_node_alias(entry: &Entry) -> bool {
    entry.parent_id.path() == "/spire/server"
}

impl State {
    /// In the order of creation. An agent without a record still gets what is parented to its ID.
    pub fn authorized_entries(&self, agent: &SpiffeId) -> Vec<Arc<Entry>> {
        let mut numbers = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut parents = vec![agent];
        if let Some(record) = self.agents.get(agent) {
            parents.extend(self.entries.aliases_of(&record.selectors).map(|alias| &alias.spiffe_id));
        }
        // Each parent is expanded once, so a cycle ends and the work is bounded by the number of entries.
        while let Some(parent) = parents.pop() {
            if !seen.insert(parent) {
                continue;
            }
            for number in self.entries.children(parent).map_or(&[][..], NumberSet::as_slice) {
                if let Some(entry) = self.entries.get(*number)
                    && !is_node_alias(entry)
                    && numbers.insert(*number)
                {
                    parents.push(&entry.spiffe_id);
                }
            }
        }
        numbers.into_iter().filter_map(|number| self.entries.get(number)).cloned().collect()
    }

    /// The entry, if `agent` may see it. Walks from the entry towards its parents, which are few, and not from the
    /// agent, whose entries may be many.
    pub fn authorized_entry(&self, agent: &SpiffeId, entry_id: &str) -> Option<&Arc<Entry>> {
        let entry = self.entries.find(entry_id)?;
        let record = self.agents.get(agent);
        let allowed = !is_node_alias(entry) && self.leads_to(&entry.parent_id, agent, record.map(Arc::as_ref));
        allowed.then_some(entry)
    }

    fn leads_to(&self, parent: &SpiffeId, agent: &SpiffeId, record: Option<&AttestedAgent>) -> bool {
        let mut seen = BTreeSet::new();
        let mut parents = vec![parent];
        while let Some(parent) = parents.pop() {
            if parent == agent {
                return true;
            }
            if !seen.insert(parent) {
                continue;
            }
            let holders = self.entries.holders(parent).map_or(&[][..], NumberSet::as_slice);
            for holder in holders.iter().filter_map(|number| self.entries.get(*number)) {
                if !is_node_alias(holder) {
                    parents.push(&holder.parent_id);
                } else if record.is_some_and(|record| holder.selectors.is_subset(&record.selectors)) {
                    return true;
                }
            }
        }
        false
    }
}
