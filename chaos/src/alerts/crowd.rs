//! Too many who knock, too many who write.

use std::time::Duration;

use steeple_api::server::agent::AttestAgentRequest;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::entry::BatchUpdateEntryRequest;
use steeple_api::types;
use steeple_testkit::{Admin, own_uid_selector, workload_entry};
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;

use super::node;
use super::place::Place;
use crate::suite::site::TRUST_DOMAIN;

/// Attestations that are under way at once; one in a second is let in.
const KNOCKS: usize = 40;
const KNOCK_MAX: Duration = Duration::from_secs(5);
const KNOCK_PAUSE: Duration = Duration::from_millis(200);
/// As many as keep the leader's entries under way; more would only make them larger.
const HURRIED: usize = 4;
/// After an error, which an election may cause.
const HURRIED_PAUSE: Duration = Duration::from_millis(50);

/// Attestations without any content, until the value ends.
pub(super) async fn knock(place: &Place, position: usize) -> anyhow::Result<JoinSet<()>> {
    let channel = node::anonymous(&place.site, position).await?;
    let mut crowd = JoinSet::new();
    for _ in 0..KNOCKS {
        let channel = channel.clone();
        crowd.spawn(async move {
            loop {
                knock_once(channel.clone()).await;
                tokio::time::sleep(KNOCK_PAUSE).await;
            }
        });
    }
    Ok(crowd)
}

/// Its answer is an error in any case.
async fn knock_once(channel: Channel) {
    let mut request = Request::new(tokio_stream::empty::<AttestAgentRequest>());
    request.set_timeout(KNOCK_MAX);
    if let Ok(response) = AgentClient::new(channel).attest_agent(request).await {
        let _ = response.into_inner().message().await;
    }
}

/// Entries that are updated as fast as the cluster takes it, so that its log grows and its state does not.
pub(super) async fn hurry(admin: &Admin) -> anyhow::Result<JoinSet<()>> {
    let mut crowd = JoinSet::new();
    for number in 0..HURRIED {
        let parent = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/nodes".to_owned() };
        let id = format!("hurried-{number}");
        let entry = workload_entry(&id, &parent, &format!("/{id}"), vec![own_uid_selector()]);
        admin.create_entry(entry.clone()).await?;
        let admin = admin.clone();
        crowd.spawn(async move {
            loop {
                let entries = vec![entry.clone()];
                let request = BatchUpdateEntryRequest { entries, input_mask: None, output_mask: None };
                if admin.entries().batch_update_entry(request).await.is_err() {
                    tokio::time::sleep(HURRIED_PAUSE).await;
                }
            }
        });
    }
    Ok(crowd)
}
