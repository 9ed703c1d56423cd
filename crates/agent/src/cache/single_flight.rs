//! One call for everyone who wants the same thing at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Calls under way, by what they are for. Holds no more than there are callers waiting.
pub struct SingleFlight<K, V> {
    calls: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

/// A caller's part in a call; a caller that leaves early leaves nothing behind.
struct Joined<'f, K: Eq + Hash, V> {
    flight: &'f SingleFlight<K, V>,
    key: K,
    call: Arc<OnceCell<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> SingleFlight<K, V> {
    /// The outcome of `make`, or of a call for `key` that another caller began already. If that caller goes away before
    /// its call ended, one of those who wait begins anew.
    pub async fn run<F: Future<Output = V>>(&self, key: K, make: impl FnOnce() -> F) -> V {
        let joined = self.join(key);
        joined.call.get_or_init(make).await.clone()
    }

    fn join(&self, key: K) -> Joined<'_, K, V> {
        let call = Arc::clone(self.calls.lock().entry(key.clone()).or_default());
        Joined { flight: self, key, call }
    }
}

impl<K: Eq + Hash, V> Drop for Joined<'_, K, V> {
    fn drop(&mut self) {
        let mut calls = self.flight.calls.lock();
        let ours = calls.get(&self.key).is_some_and(|call| Arc::ptr_eq(call, &self.call));
        // Nobody may join a call that ended. Of one that did not, the table and this caller are the last holders.
        if ours && (self.call.initialized() || Arc::strong_count(&self.call) == 2) {
            calls.remove(&self.key);
        }
    }
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self { calls: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_hundred_callers_make_one_call() {
        let flight = Arc::new(SingleFlight::default());
        let made = &AtomicUsize::new(0);
        let make = || async {
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::Relaxed)
        };
        let callers = (0..100).map(|_| flight.run("a", make));
        assert_eq!(futures::future::join_all(callers).await, [0; 100]);
        assert_eq!(flight.run("b", make).await, 1);
        assert_eq!(flight.run("a", make).await, 2, "an outcome is for those who waited, not for later ones");
        assert!(flight.calls.lock().is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_is_replaced_and_leaves_nothing() {
        let flight = Arc::new(SingleFlight::default());
        let (begun, has_begun) = oneshot::channel();
        let first = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move {
                let never = || async {
                    let _ = begun.send(());
                    std::future::pending().await
                };
                flight.run("a", never).await
            }
        });
        has_begun.await.unwrap();
        let second = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { flight.run("a", || async { 2 }).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(flight.calls.lock().len(), 1);
        first.abort();
        assert_eq!(second.await.unwrap(), 2);
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(flight.calls.lock().is_empty());
    }
}
