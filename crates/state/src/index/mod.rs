//! Entries in memory and the indexes over them.

mod agents;
mod by_domain;
mod entries;
mod number_set;

pub(crate) use agents::AgentIndex;
pub(crate) use by_domain::ByDomain;
pub(crate) use entries::EntryIndex;
pub(crate) use number_set::NumberSet;
