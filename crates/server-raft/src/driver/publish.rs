//! Shows the own bundle where a publisher puts it: at the start, at every change, and again after a failure. One task
//! for each publisher, so that a place which hangs keeps the bundle from no other.

use std::sync::Arc;
use std::time::Duration;

use steeple_core::plugin::{BundlePublisher, PublishError, PublishPlace};
use steeple_core::{Bundle, TrustDomain};
use steeple_state::Change;
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

use super::{until_change, until_leader};
use crate::metrics;
use crate::raft::{AppliedEvents, Replica};

pub struct PublishDriver {
    pub replica: Replica,
    pub trust_domain: TrustDomain,
    pub publisher: Arc<dyn BundlePublisher>,
}

impl PublishDriver {
    /// Runs until `stop`. What all replicas share is written by the leader, what each has of its own by each.
    pub async fn run(self, stop: CancellationToken) {
        let mut events = self.replica.events();
        let is_shared = self.publisher.place() == PublishPlace::Shared;
        loop {
            if is_shared && until_leader(&self.replica, &stop).await.is_none() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.keep_published(&mut events) => return,
                () = self.deposed(), if is_shared => metrics::bundle_publisher_rests(self.publisher.name()),
            }
        }
    }

    /// Ends with the replica.
    async fn keep_published(&self, events: &mut Receiver<Arc<AppliedEvents>>) {
        let mut failures = 0;
        loop {
            let own = self.replica.state().read().own_bundle().cloned();
            let pause = match own {
                // A change brings it.
                None => REPUBLISH,
                Some(bundle) => match self.publish(&bundle).await {
                    Ok(()) => {
                        failures = 0;
                        REPUBLISH
                    }
                    Err(error) => {
                        failures += 1;
                        let retry_in = retry_pause(failures);
                        tracing::error!(
                            BundlePublisher = self.publisher.name(),
                            %error,
                            retry_in = %steeple_config::GoDuration::from(retry_in),
                            "Failed to publish bundle"
                        );
                        retry_in
                    }
                },
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                is_open = until_change(events, |change| self.concerns(change)) => if !is_open {
                    return;
                },
            }
        }
    }

    async fn publish(&self, bundle: &Bundle) -> Result<(), PublishError> {
        let published = tokio::time::timeout(PUBLISH_MAX, self.publisher.publish(bundle)).await;
        let published =
            published.unwrap_or_else(|_| Err(PublishError(format!("it took longer than {} s", PUBLISH_MAX.as_secs()))));
        metrics::bundle_published(self.publisher.name(), published.is_ok());
        if published.is_ok() {
            let (publisher, sequence) = (self.publisher.name(), bundle.sequence);
            tracing::debug!(BundlePublisher = publisher, sequence, "Bundle published");
        }
        published
    }

    fn concerns(&self, change: &Change) -> bool {
        matches!(change, Change::Bundle { trust_domain } if *trust_domain == self.trust_domain)
    }

    async fn deposed(&self) {
        // A closed watch means that the replica stops, which the events tell too.
        let _ = self.replica.leadership().wait_for(|now| !now.is_leader).await;
    }
}

/// After so many failures in a row.
fn retry_pause(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(RETRY_DOUBLINGS_MAX)).min(RETRY_MAX)
}

/// A publisher has bounds of its own for each place; this one is for the case that it has none.
const PUBLISH_MAX: Duration = Duration::from_secs(30);
/// Puts back what somebody else took away or changed.
const REPUBLISH: Duration = Duration::from_secs(10 * 60);
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// SPIRE's interval.
const RETRY_MAX: Duration = Duration::from_secs(30);
const RETRY_DOUBLINGS_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<u64> = (1..=8).map(|failures| retry_pause(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(retry_pause(u32::MAX), RETRY_MAX);
    }
}
