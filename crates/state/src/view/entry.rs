//! Registration entries: by id, by filter, in pages in the order of creation.

use std::sync::Arc;

use steeple_core::{Entry, IdPattern, MatchBehavior, SelectorSet, SpiffeId, TrustDomain};

use super::{Page, PageRequest, TokenError};
use crate::State;

/// Which entries to list; the default lists all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryFilter {
    pub spiffe_id: Option<SpiffeId>,
    pub parent_id: Option<SpiffeId>,
    pub selectors: Option<SelectorFilter>,
    pub federates_with: Option<TrustDomainFilter>,
    pub hint: Option<String>,
    /// Only downstream entries; `false` filters nothing (SPIRE behaviour).
    pub downstream: bool,
    /// Only entries within one of these; `None` limits nothing.
    pub within: Option<Arc<[EntryScope]>>,
}

/// Some of the entries, by who gets them and from whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EntryScope {
    /// `None`: any.
    pub spiffe_ids: Option<Arc<[IdPattern]>>,
    /// `None`: any.
    pub parent_ids: Option<Arc<[IdPattern]>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SelectorFilter {
    pub selectors: SelectorSet,
    pub how: MatchBehavior,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TrustDomainFilter {
    pub trust_domains: Vec<TrustDomain>,
    pub how: MatchBehavior,
}

impl State {
    pub fn entry(&self, id: &str) -> Option<&Arc<Entry>> {
        self.entries.find(id)
    }

    /// In the order of creation; the token is a record number.
    pub fn entries(&self, filter: &EntryFilter, page: PageRequest<'_>) -> Result<Page<Arc<Entry>>, TokenError> {
        let numbered = page.take(self.matching(filter, page.after_number()?), |(number, _)| number.to_string());
        Ok(Page { items: numbered.items.into_iter().map(|(_, entry)| entry.clone()).collect(), next: numbered.next })
    }

    /// The longest X.509-SVID lifetime that an entry asks for, in seconds; 0 when none does.
    pub fn x509_svid_ttl_max(&self) -> i32 {
        self.entries.after(0).map(|(_, entry)| entry.x509_svid_ttl).max().unwrap_or(0)
    }

    pub fn count_entries(&self, filter: &EntryFilter) -> usize {
        match *filter == EntryFilter::default() {
            true => self.entries.len(),
            false => self.matching(filter, 0).count(),
        }
    }

    /// Walks the smallest index that the filter names.
    fn matching<'a>(
        &'a self,
        filter: &'a EntryFilter,
        cursor: u64,
    ) -> Box<dyn Iterator<Item = (u64, &'a Arc<Entry>)> + 'a> {
        let indexed = match (&filter.spiffe_id, &filter.parent_id) {
            (Some(id), _) => Some(self.entries.holders(id)),
            (None, Some(id)) => Some(self.entries.children(id)),
            (None, None) => None,
        };
        match indexed {
            Some(None) => Box::new(std::iter::empty()),
            Some(Some(numbers)) => Box::new(
                numbers
                    .after(cursor)
                    .iter()
                    .filter_map(|number| Some((*number, self.entries.get(*number)?)))
                    .filter(|(_, entry)| filter.admits(entry)),
            ),
            None => Box::new(self.entries.after(cursor).filter(|(_, entry)| filter.admits(entry))),
        }
    }
}

impl EntryFilter {
    pub fn admits(&self, entry: &Entry) -> bool {
        self.spiffe_id.as_ref().is_none_or(|id| *id == entry.spiffe_id)
            && self.parent_id.as_ref().is_none_or(|id| *id == entry.parent_id)
            && self.selectors.as_ref().is_none_or(|wanted| entry.selectors.matches(wanted.how, &wanted.selectors))
            && self.federates_with.as_ref().is_none_or(|wanted| wanted.admits(&entry.federates_with))
            && self.hint.as_ref().is_none_or(|hint| *hint == entry.hint)
            && (!self.downstream || entry.downstream)
            && self.within.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope.covers(entry)))
    }
}

impl EntryScope {
    pub fn covers(&self, entry: &Entry) -> bool {
        let covers = |patterns: &Option<Arc<[IdPattern]>>, id: &SpiffeId| {
            patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(id)))
        };
        covers(&self.spiffe_ids, &entry.spiffe_id) && covers(&self.parent_ids, &entry.parent_id)
    }
}

impl TrustDomainFilter {
    /// Entries that federate with nobody match no such filter, as no SPIRE query returns them.
    fn admits(&self, record: &[TrustDomain]) -> bool {
        let within = |set: &[TrustDomain], of: &[TrustDomain]| set.iter().all(|item| of.contains(item));
        !record.is_empty()
            && match self.how {
                MatchBehavior::Exact => within(record, &self.trust_domains) && within(&self.trust_domains, record),
                MatchBehavior::Subset => within(record, &self.trust_domains),
                MatchBehavior::Superset => within(&self.trust_domains, record),
                MatchBehavior::Any => record.iter().any(|item| self.trust_domains.contains(item)),
            }
    }
}
