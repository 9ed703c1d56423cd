//! Bundles and federation relationships, in the order of their creation (SPIRE behaviour); page tokens are record
//! numbers.

use std::sync::Arc;

use steeple_core::{Bundle, TrustDomain};

use super::{Page, PageRequest, TokenError};
use crate::{Relationship, State};

impl State {
    /// The bundle of the own trust domain; `None` until the first authority was prepared.
    pub fn own_bundle(&self) -> Option<&Arc<Bundle>> {
        self.bundles.get(self.trust_domain()?)
    }

    pub fn bundle(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.bundles.get(trust_domain)
    }

    /// Bundles of other trust domains.
    pub fn federated_bundles(&self, page: PageRequest<'_>) -> Result<Page<Arc<Bundle>>, TokenError> {
        self.federated_bundles_where(page, |_| true)
    }

    /// Of those, the ones whose trust domain `admits` lets pass.
    pub fn federated_bundles_where(
        &self,
        page: PageRequest<'_>,
        admits: impl Fn(&TrustDomain) -> bool,
    ) -> Result<Page<Arc<Bundle>>, TokenError> {
        let own = self.trust_domain();
        let is_wanted = |name: &TrustDomain| Some(name) != own && admits(name);
        let bundles = self.bundles.after(page.after_number()?).filter(|(_, bundle)| is_wanted(&bundle.trust_domain));
        let numbered = page.take(bundles, |(number, _)| number.to_string());
        Ok(Page { items: numbered.items.into_iter().map(|(_, bundle)| bundle.clone()).collect(), next: numbered.next })
    }

    /// The own bundle included (SPIRE behaviour).
    pub fn count_bundles(&self) -> usize {
        self.bundles.len()
    }

    /// Trust domains whose bundle endpoint is polled.
    pub fn count_relationships(&self) -> usize {
        self.relationships.len()
    }

    /// Of those, the ones whose trust domain `admits` lets pass.
    pub fn count_bundles_where(&self, admits: impl Fn(&TrustDomain) -> bool) -> usize {
        self.bundles.after(0).filter(|(_, bundle)| admits(&bundle.trust_domain)).count()
    }

    pub fn relationship(&self, trust_domain: &TrustDomain) -> Option<Relationship> {
        let relationship = self.relationships.get(trust_domain)?.clone();
        Some(Relationship { relationship, bundle: self.bundles.get(trust_domain).cloned() })
    }

    pub fn relationships(&self, page: PageRequest<'_>) -> Result<Page<Relationship>, TokenError> {
        self.relationships_where(page, |_| true)
    }

    /// Relationships with the trust domains that `admits` lets pass.
    pub fn relationships_where(
        &self,
        page: PageRequest<'_>,
        admits: impl Fn(&TrustDomain) -> bool,
    ) -> Result<Page<Relationship>, TokenError> {
        let wanted = self.relationships.after(page.after_number()?).filter(|(_, found)| admits(&found.trust_domain));
        let numbered = page.take(wanted, |(number, _)| number.to_string());
        let items = numbered.items.into_iter().map(|(_, relationship)| Relationship {
            relationship: relationship.clone(),
            bundle: self.bundles.get(&relationship.trust_domain).cloned(),
        });
        Ok(Page { items: items.collect(), next: numbered.next })
    }
}
