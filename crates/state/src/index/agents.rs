//! Attested agents: by ID, and in the order of their first attestation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use steeple_core::{AttestedAgent, SpiffeId};

use crate::codec::AgentRow;
use crate::view::AgentCursor;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AgentIndex {
    by_id: BTreeMap<SpiffeId, AgentRow>,
    by_number: BTreeMap<u64, SpiffeId>,
    /// Attested while the cluster was below [`crate::CLUSTER_VERSION_AGENT_NUMBERS`]. They come first, by their IDs.
    unnumbered: BTreeSet<SpiffeId>,
}

impl AgentIndex {
    /// Returns the row that it replaces. The caller gives an agent the number that it has.
    pub(crate) fn insert(&mut self, row: AgentRow) -> Option<AgentRow> {
        let id = row.agent.id.clone();
        match row.number {
            0 => {
                self.unnumbered.insert(id.clone());
            }
            number => {
                self.by_number.insert(number, id.clone());
            }
        }
        self.by_id.insert(id, row)
    }

    pub(crate) fn remove(&mut self, id: &SpiffeId) -> Option<AgentRow> {
        let row = self.by_id.remove(id)?;
        self.by_number.remove(&row.number);
        self.unnumbered.remove(id);
        Some(row)
    }

    pub(crate) fn get(&self, id: &SpiffeId) -> Option<&Arc<AttestedAgent>> {
        self.by_id.get(id).map(|row| &row.agent)
    }

    pub(crate) fn number_of(&self, id: &SpiffeId) -> Option<u64> {
        self.by_id.get(id).map(|row| row.number)
    }

    pub(crate) fn holds_number(&self, number: u64) -> bool {
        self.by_number.contains_key(&number)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// In the order of their IDs.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &AgentRow> {
        self.by_id.values()
    }

    /// In the order of their first attestation, from behind `cursor`.
    pub(crate) fn after(&self, cursor: &AgentCursor) -> impl Iterator<Item = &AgentRow> {
        let (id, number) = match cursor {
            AgentCursor::Start => (Some(Bound::Unbounded), 0),
            AgentCursor::Id(last) => (Some(Bound::Excluded(last)), 0),
            AgentCursor::Number(last) => (None, *last),
        };
        let unnumbered = id.into_iter().flat_map(|id| self.unnumbered.range::<SpiffeId, _>((id, Bound::Unbounded)));
        // Nothing comes after a number of u64::MAX; the range would be inverted otherwise.
        let numbered = number.checked_add(1).into_iter().flat_map(|from| self.by_number.range(from..));
        unnumbered.chain(numbered.map(|(_, id)| id)).filter_map(|id| self.by_id.get(id))
    }
}
