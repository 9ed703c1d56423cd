//! What the server says, as values.

use std::collections::BTreeSet;

use steeple_api::steeple::server::{Acknowledgements, StatusResponse};
use steeple_api::types::{Agent, Entry, Selector};

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Unix seconds, by the clock of this machine.
    pub(super) now: i64,
    pub(super) status: StatusResponse,
    pub(super) acknowledgements: Acknowledgements,
    /// A process's, where the question is about one.
    pub(super) selectors: Option<Vec<Selector>>,
    /// The question names an agent's ID: its record, or none.
    pub(super) agent: Option<Option<Agent>>,
    /// Entries that the question is about, each with what stands above it.
    pub(super) lineages: Vec<Lineage>,
    /// Trust domains that these entries federate with and whose bundle is not here.
    pub(super) missing_bundles: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Lineage {
    pub(super) entry: Entry,
    pub(super) parent: Parent,
}

/// Who serves an entry.
#[derive(Clone, Debug)]
pub(super) enum Parent {
    /// The entry's parent ID is an agent's.
    Agent { id: String, record: Option<Agent> },
    /// The parent ID is granted by these entries, each with what stands above it.
    Entries { id: String, above: Vec<Lineage> },
    /// The entry is a node alias; these agents have its selectors.
    Nodes(Vec<Agent>),
    /// Its parents lead back to itself, or are too many.
    Endless,
}
