//! Sees to it that each name has a certificate that has not ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::{Clock, Timestamp};

use crate::order::order;
use crate::{AcmeError, Store, due_at, retry_pause};

/// An ACME server, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub url: String,
    /// Empty: no contact.
    pub email: String,
    /// Whether the terms of service are agreed to. An ACME server that has some refuses whoever does not.
    pub tos_accepted: bool,
}

pub struct Keeper<S> {
    pub directory: Directory,
    /// In lower case.
    pub domains: Vec<String>,
    pub store: S,
    pub clock: Arc<dyn Clock>,
    /// Told of each order's end: the name, and whether there is a new certificate.
    pub ended: fn(&str, bool),
}

/// Of one name.
#[derive(Clone, Copy, Debug)]
struct Failed {
    in_a_row: u32,
    again_at: Timestamp,
}

impl<S: Store> Keeper<S> {
    /// Never ends; cancel by dropping the future.
    pub async fn run(&self) {
        if !self.directory.tos_accepted {
            tracing::warn!("ACME Terms of Service have not been accepted. See the `tos_accepted` configurable");
        }
        let mut failed = BTreeMap::new();
        loop {
            let mut pause = LOOK_AGAIN;
            for domain in &self.domains {
                let due = self.due(domain, failed.get(domain));
                let now = self.clock.now();
                if due > now {
                    pause = pause.min(due.since(now));
                    continue;
                }
                pause = Duration::ZERO;
                match self.attempt(domain).await {
                    Ok(()) => {
                        failed.remove(domain);
                    }
                    Err(error) => {
                        let in_a_row =
                            failed.get(domain).map_or(1, |failed: &Failed| failed.in_a_row.saturating_add(1));
                        let retry_in = retry_pause(in_a_row);
                        let again_at = self.clock.now().saturating_add(retry_in);
                        failed.insert(domain.clone(), Failed { in_a_row, again_at });
                        self.tell(domain, &error, retry_in);
                    }
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn due(&self, domain: &str, failed: Option<&Failed>) -> Timestamp {
        let due = self.store.validity(domain).map_or(Timestamp::default(), due_at);
        failed.map_or(due, |failed| due.max(failed.again_at))
    }

    async fn attempt(&self, domain: &str) -> Result<(), AcmeError> {
        let ordered = order(&self.directory, domain, &self.store, &self.clock);
        let ordered = tokio::time::timeout(ORDER_MAX, ordered).await;
        let ordered = ordered.unwrap_or(Err(AcmeError::Timeout(ORDER_MAX)));
        (self.ended)(domain, ordered.is_ok());
        let not_after = ordered?.validity.not_after;
        tracing::info!(domain, %not_after, "Certificate obtained by ACME");
        Ok(())
    }

    fn tell(&self, domain: &str, error: &AcmeError, retry_in: Duration) {
        let retry_in_s = retry_in.as_secs();
        match self.store.validity(domain).map(|validity| validity.not_after) {
            Some(not_after) => tracing::error!(
                domain, %error, retry_in_s, %not_after, "No new certificate by ACME: the one that is held stays"
            ),
            None => tracing::error!(domain, %error, retry_in_s, "No certificate by ACME: nothing is served yet"),
        }
    }
}

/// Looks at the clock in between, which may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Two waits for the ACME server, and the requests around them.
const ORDER_MAX: Duration = Duration::from_secs(300);
