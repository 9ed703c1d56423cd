//! The agent's word to the server after it came up.

use std::time::Duration;

use steeple_api::server::agent::PostStatusRequest;
use steeple_api::server::agent::agent_client::AgentClient;

use super::{CallTimes, Upstream, explained};
use crate::cache::Cache;

/// Tells the server which version this is. Stock servers before 1.15 do not know the call, so a failure means nothing.
pub async fn post_status(upstream: &Upstream, cache: &Cache) {
    let current_bundle_serial = cache.own_bundle().map_or(0, |bundle| bundle.sequence);
    let call = |channel| {
        let request = PostStatusRequest { current_bundle_serial, agent_version: env!("CARGO_PKG_VERSION").to_owned() };
        async move { AgentClient::new(channel).post_status(request).await }
    };
    if let Err(status) = upstream.call(STATUS_TIMES, call).await {
        tracing::debug!(error = explained(&status), "Unable to post status to the server");
    }
}

const STATUS_TIMES: CallTimes = CallTimes::brief(Duration::from_secs(10));
