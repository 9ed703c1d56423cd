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
        let own = self.trust_domain();
        let bundles = self.bundles.after(cursor(page)?).filter(|(_, bundle)| Some(&bundle.trust_domain) != own);
        let numbered = page.take(bundles, |(number, _)| number.to_string());
        Ok(Page { items: numbered.items.into_iter().map(|(_, bundle)| bundle.clone()).collect(), next: numbered.next })
    }

    /// The own bundle included (SPIRE behaviour).
    pub fn count_bundles(&self) -> usize {
        self.bundles.len()
    }

    pub fn relationship(&self, trust_domain: &TrustDomain) -> Option<Relationship> {
        let relationship = self.relationships.get(trust_domain)?.clone();
        Some(Relationship { relationship, bundle: self.bundles.get(trust_domain).cloned() })
    }

    pub fn relationships(&self, page: PageRequest<'_>) -> Result<Page<Relationship>, TokenError> {
        let numbered = page.take(self.relationships.after(cursor(page)?), |(number, _)| number.to_string());
        let items = numbered.items.into_iter().map(|(_, relationship)| Relationship {
            relationship: relationship.clone(),
            bundle: self.bundles.get(&relationship.trust_domain).cloned(),
        });
        Ok(Page { items: items.collect(), next: numbered.next })
    }
}

/// Numbers begin at 1.
fn cursor(page: PageRequest<'_>) -> Result<u64, TokenError> {
    Ok(page.cursor(|token| token.parse().ok())?.unwrap_or(0))
}
