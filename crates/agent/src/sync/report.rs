//! Tells the server which bundle workloads are served from, so that it knows whom a rotation has to wait for.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::agent::PostStatusRequest;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_core::Bundle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Sessions;
use super::taint::{is_tainted, tainted_key_ids};
use crate::cache::Cache;
use crate::upstream::{CallTimes, Upstream, explained};

/// Posts the agent's status. Stock servers ignore the bundle in it, and old ones do not know the call: a failure means
/// nothing.
pub struct StatusReporter {
    pub upstream: Arc<Upstream>,
    pub cache: Arc<Cache>,
    pub bundle_arrived: watch::Receiver<Option<Arc<Bundle>>>,
    pub sessions: Sessions,
}

impl StatusReporter {
    /// Runs until `stop`: at the start, whenever the bundle changed, and now and then for a server that has restarted.
    /// On a push stream it acknowledges every set that came.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.cache.changes();
        let mut holds = 0;
        loop {
            self.bundle_arrived.mark_unchanged();
            changes.mark_unchanged();
            let session = self.sessions.borrow_and_update().clone();
            let settled = settled(&self.cache);
            if let Some(sequence) = settled {
                holds = sequence;
            }
            let told = match &session {
                Some(session) => session.acknowledge(holds).await.is_ok(),
                None => false,
            };
            if !told {
                self.post(holds).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = self.bundle_arrived.changed() => {}
                // SVIDs are being replaced: the last one of them is worth a word.
                () = until_settled(&self.cache, &mut changes), if settled.is_none() => {}
                Ok(()) = self.sessions.changed() => {}
                // An open stream says by itself that the agent is there.
                () = tokio::time::sleep(INTERVAL), if !told => {}
            }
        }
    }

    async fn post(&self, current_bundle_serial: u64) {
        let call = |channel| {
            let agent_version = env!("CARGO_PKG_VERSION").to_owned();
            let request = PostStatusRequest { current_bundle_serial, agent_version };
            async move { AgentClient::new(channel).post_status(request).await }
        };
        if let Err(status) = self.upstream.call(TIMES, call).await {
            tracing::debug!(error = explained(&status), "Unable to post status to the server");
        }
    }
}

async fn until_settled(cache: &Cache, changes: &mut watch::Receiver<u64>) {
    while settled(cache).is_none() {
        if changes.changed().await.is_err() {
            // The cache is gone: the agent ends.
            std::future::pending::<()>().await;
        }
    }
}

/// The sequence number of the own bundle; `None` while an SVID that a tainted authority signed is still served, for
/// then the bundle must not lose that authority.
fn settled(cache: &Cache) -> Option<u64> {
    let bundle = cache.own_bundle()?;
    let tainted = tainted_key_ids(&bundle);
    if tainted.is_empty() {
        return Some(bundle.sequence);
    }
    let mut svids = cache.entries().into_iter().filter_map(|state| state.svid);
    (!svids.any(|svid| is_tainted(&svid.chain, &tainted))).then_some(bundle.sequence)
}

/// Three of them fit into the time for which a server takes an agent for alive.
const INTERVAL: Duration = Duration::from_secs(20);
const TIMES: CallTimes = CallTimes::brief(Duration::from_secs(10));
