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

/// What is met on the way from an entry up to the agents that may see it.
pub(super) enum Step<'a> {
    Parent(&'a SpiffeId),
    Alias(&'a Arc<Entry>),
}

impl State {
    /// In the order of creation. An agent without a record still gets what is parented to its ID.
    pub fn authorized_entries(&self, agent: &SpiffeId) -> Vec<Arc<Entry>> {
        self.entries_below(&self.visible_roots(agent))
    }

    /// Where the entries of `agent` hang: its own ID and those of its aliases, in ascending order, as far as there is
    /// an entry below them. Agents with equal roots see equal entries.
    pub fn visible_roots(&self, agent: &SpiffeId) -> Vec<SpiffeId> {
        let mut roots = BTreeSet::from([agent]);
        if let Some(record) = self.agents.get(agent) {
            roots.extend(self.entries.aliases_of(&record.selectors).map(|alias| &alias.spiffe_id));
        }
        roots.into_iter().filter(|root| self.entries.children(root).is_some()).cloned().collect()
    }

    /// The entries below `roots` and, transitively, below these, in the order of creation.
    pub fn entries_below(&self, roots: &[SpiffeId]) -> Vec<Arc<Entry>> {
        let mut numbers = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut parents: Vec<&SpiffeId> = roots.iter().collect();
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
        self.climb(parent, |step| match step {
            Step::Parent(id) => id == agent,
            Step::Alias(alias) => record.is_some_and(|record| alias.selectors.is_subset(&record.selectors)),
        })
    }

    /// Goes up from `parent` until `arrived` says so, and returns whether it did.
    pub(super) fn climb<'a>(&'a self, parent: &'a SpiffeId, mut arrived: impl FnMut(Step<'a>) -> bool) -> bool {
        let mut seen = BTreeSet::new();
        let mut parents = vec![parent];
        while let Some(parent) = parents.pop() {
            if !seen.insert(parent) {
                continue;
            }
            if arrived(Step::Parent(parent)) {
                return true;
            }
            let holders = self.entries.holders(parent).map_or(&[][..], NumberSet::as_slice);
            for holder in holders.iter().filter_map(|number| self.entries.get(*number)) {
                if !is_node_alias(holder) {
                    parents.push(&holder.parent_id);
                } else if arrived(Step::Alias(holder)) {
                    return true;
                }
            }
        }
        false
    }
}
