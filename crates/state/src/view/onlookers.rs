//! Whom changes of entries concern: the agents that see another set than before.

use std::collections::BTreeSet;
use std::sync::Arc;

use steeple_core::{AttestedAgent, Entry, SpiffeId};

use super::authorized::Step;
use super::is_node_alias;
use crate::{Change, State};

/// By ID, and by the node aliases on the way to them. Some may see no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Onlookers {
    /// The agents among these IDs.
    pub ids: BTreeSet<SpiffeId>,
    /// Agents that have all selectors of one of these.
    pub aliases: Vec<Arc<Entry>>,
}

impl Onlookers {
    /// Of `changes` that `state` has, as it has perhaps later ones. What an entry was before matters as much as what it
    /// is after. Where several entries cut the way to an agent, the uppermost of them leads to it.
    pub fn of<'a>(state: &State, changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut onlookers = Self::default();
        let mut parents = BTreeSet::new();
        for change in changes {
            match change {
                Change::Agent { id, .. } => drop(onlookers.ids.insert(id.clone())),
                Change::Entry { before, after } => {
                    for entry in before.iter().chain(after) {
                        if is_node_alias(entry) {
                            onlookers.aliases.push(Arc::clone(entry));
                        } else {
                            parents.insert(&entry.parent_id);
                        }
                    }
                }
                _ => {}
            }
        }
        for parent in parents {
            state.climb(parent, |step| {
                match step {
                    Step::Parent(id) => drop(onlookers.ids.insert(id.clone())),
                    Step::Alias(alias) => onlookers.aliases.push(Arc::clone(alias)),
                }
                false
            });
        }
        onlookers
    }

    /// `record` is the agent's.
    pub fn have_alias_of(&self, record: &AttestedAgent) -> bool {
        self.aliases.iter().any(|alias| alias.selectors.is_subset(&record.selectors))
    }
}
