//! One workload's views, one after the other: the first when everything is there, then one for every change it can see.

use std::sync::Arc;

use steeple_core::SelectorSet;
use tokio::sync::watch;

use super::{Cache, Readiness, Subscription, WorkloadView};

/// As long as it lives, its entries count as wanted.
pub struct Views {
    cache: Arc<Cache>,
    selectors: SelectorSet,
    changes: watch::Receiver<u64>,
    subscription: Subscription,
    last: Option<WorkloadView>,
}

impl Views {
    pub fn of(cache: &Arc<Cache>, selectors: SelectorSet) -> Self {
        Self {
            cache: Arc::clone(cache),
            changes: cache.changes(),
            subscription: cache.subscribe(selectors.clone()),
            selectors,
            last: None,
        }
    }

    /// The next view that differs from the one before. Who is slow gets the latest, never a backlog. May be dropped
    /// while it waits.
    pub async fn next(&mut self) -> WorkloadView {
        loop {
            if let Some(view) = self.look() {
                return view;
            }
            // The subscription holds the cache, and so the sender: this cannot fail.
            let _ = self.changes.changed().await;
        }
    }

    fn look(&mut self) -> Option<WorkloadView> {
        self.changes.mark_unchanged();
        self.subscription.refresh();
        let view = self.cache.view(&self.selectors);
        // Later on, what is there is seen, and the rest follows in a later view.
        let complete = view.readiness() != Readiness::Waiting || self.last.is_some();
        if !complete || view.bundle.is_none() || self.last.as_ref() == Some(&view) {
            return None;
        }
        self.last = Some(view.clone());
        Some(view)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use steeple_core::{Bundle, TrustDomain};

    use super::*;
    use crate::cache::tests::{entry, set, svid};

    /// What is there to see at once.
    fn seen(views: &mut Views) -> Option<(Readiness, Vec<String>)> {
        let view = views.next().now_or_never()?;
        Some((view.readiness(), view.identities.iter().map(|identity| identity.entry.id.clone()).collect()))
    }

    fn cache() -> Arc<Cache> {
        let cache = Cache::new(TrustDomain::parse("td").unwrap());
        cache.set_bundles(vec![Bundle::empty(TrustDomain::parse("td").unwrap())]);
        Arc::new(cache)
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_first_view_is_complete_and_later_ones_need_not_be() {
        let cache = cache();
        cache.set_entries(vec![entry("a", &["1"])]);
        let mut views = Views::of(&cache, set(&["1"]));
        assert_eq!(seen(&mut views), None);
        cache.put_svid("a", svid("a", 0, 10));
        assert_eq!(seen(&mut views), Some((Readiness::Ready, ids(&["a"]))));
        assert_eq!(seen(&mut views), None);
        cache.set_entries(vec![entry("b", &["1"])]);
        assert_eq!(seen(&mut views), Some((Readiness::Waiting, ids(&[]))));
        cache.put_svid("b", svid("b", 0, 10));
        assert_eq!(seen(&mut views), Some((Readiness::Ready, ids(&["b"]))));
    }

    #[test]
    fn what_concerns_others_is_not_seen() {
        let cache = cache();
        cache.set_entries(vec![entry("a", &["1"])]);
        cache.put_svid("a", svid("a", 0, 10));
        let mut views = Views::of(&cache, set(&["1"]));
        assert!(seen(&mut views).is_some());
        cache.set_entries(vec![entry("a", &["1"]), entry("b", &["2"])]);
        cache.put_svid("b", svid("b", 0, 10));
        assert_eq!(seen(&mut views), None);
    }

    #[test]
    fn losing_the_last_entry_is_seen_even_before_it_had_an_svid() {
        let cache = cache();
        let mut views = Views::of(&cache, set(&["1"]));
        assert_eq!(seen(&mut views), Some((Readiness::NoIdentity, ids(&[]))));
        cache.set_entries(vec![entry("a", &["1"])]);
        assert_eq!(seen(&mut views), Some((Readiness::Waiting, ids(&[]))));
        cache.set_entries(Vec::new());
        assert_eq!(seen(&mut views), Some((Readiness::NoIdentity, ids(&[]))));
    }

    #[test]
    fn nothing_is_seen_before_the_first_sync() {
        let cache = Arc::new(Cache::new(TrustDomain::parse("td").unwrap()));
        assert_eq!(seen(&mut Views::of(&cache, set(&["1"]))), None);
    }
}
