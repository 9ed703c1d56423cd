//! What one replica acknowledged holds on every other one, also on one that lags or was away.

use std::time::Duration;

use futures::future::join_all;
use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{BanAgentRequest, CountAgentsRequest, PostStatusRequest};
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::{AppendBundleRequest, GetBundleRequest};
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, GetAuthorizedEntriesRequest, ListEntriesRequest,
};
use steeple_api::types::permission_denied_details::Reason;
use steeple_api::types::{self, X509Certificate};
use steeple_testkit::{until, workload_entry};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::every_caller::Cast;
use crate::site::{Node, READY_MAX};

const AGENTS: usize = 8;
/// What a replica that was away has to catch up with takes it a while.
const BATCHES: usize = 8;
const BATCH: usize = 500;
/// After which a client asks again.
const CALL: Duration = Duration::from_secs(10);

async fn post_status(channel: Channel) -> Result<(), Status> {
    let request = PostStatusRequest { current_bundle_serial: 0, agent_version: String::new() };
    AgentClient::new(channel).post_status(request).await.map(drop)
}

async fn count_agents(channel: Channel) -> Result<(), Status> {
    AgentClient::new(channel).count_agents(CountAgentsRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_ban_and_a_lost_right_hold_at_once_on_a_replica_that_has_not_heard_of_them() {
    let cast = Cast::assemble().await;
    let (leader, follower) =
        (cast.cluster.leader().await.expect("a leader"), cast.cluster.follower().await.expect("a follower"));
    let asked = cast.cluster.servers[follower].api_address();
    let admin = cast.cluster.servers[leader].admin();
    let mut agents = Vec::new();
    for _ in 0..AGENTS {
        let agent = cast.by_join_token(cast.cluster.servers[0].admin()).await;
        let channel = cast.channel_of_agent(&agent, &asked);
        post_status(channel.clone()).await.expect("it is let in");
        agents.push((agent.id, channel));
    }
    let by_entry = cast.channel_of("admin", &asked);
    count_agents(by_entry.clone()).await.expect("an entry lets it in");

    let paused = cast.cluster.servers[follower].process().expect("it runs");
    paused.pause();
    for (id, _) in &agents {
        admin.agents().ban_agent(BanAgentRequest { id: Some(id_to_wire(id)) }).await.expect("banned");
    }
    let entries =
        admin.entries().list_entries(ListEntriesRequest::default()).await.expect("entries").into_inner().entries;
    let ids = entries.into_iter().filter(|entry| entry.admin).map(|entry| entry.id).collect();
    admin.entries().batch_delete_entry(BatchDeleteEntryRequest { ids }).await.expect("deleted");
    // They are asked after all that was acknowledged, and answered as soon as the replica goes on.
    let calls = tokio::spawn(join_all(agents.into_iter().map(|(_, channel)| post_status(channel))));
    let administrator = tokio::spawn(count_agents(by_entry));
    paused.resume();
    for answer in calls.await.expect("answers") {
        Node::assert_is_denial(&answer.expect_err("a banned agent was let in"), Reason::AgentBanned);
    }
    let denied = administrator.await.expect("an answer").expect_err("it has no entry any more");
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied}");
}

#[tokio::test]
async fn a_replica_that_comes_back_gives_no_short_answers() {
    let mut cast = Cast::assemble().await;
    let (leader, follower) =
        (cast.cluster.leader().await.expect("a leader"), cast.cluster.follower().await.expect("a follower"));
    let agent = cast.by_join_token(cast.cluster.servers[0].admin()).await;
    cast.cluster.caught_up(follower).await.expect("it knows the agent");
    cast.cluster.servers[follower].kill9().await.expect("it ends");
    let admin = cast.cluster.servers[leader].admin();
    for batch in 0..BATCHES {
        let entry = |number: usize| {
            let selector = types::Selector { r#type: "unix".to_owned(), value: format!("uid:{number}") };
            workload_entry("", &id_to_wire(&agent.id), &format!("/{batch}/{number}"), vec![selector])
        };
        let entries = (0..BATCH).map(entry).collect();
        let request = BatchCreateEntryRequest { entries, output_mask: None };
        admin.entries().batch_create_entry(request).await.expect("entries");
    }
    let authority = rcgen::generate_simple_self_signed(["late".to_owned()]).expect("a certificate");
    let late = authority.cert.der().to_vec();
    let x509_authorities = vec![X509Certificate { asn1: late.clone(), tainted: false }];
    let request = AppendBundleRequest { x509_authorities, ..AppendBundleRequest::default() };
    admin.bundles().append_bundle(request).await.expect("a bundle");

    cast.cluster.servers[follower].launch().expect("it starts");
    let address = cast.cluster.servers[follower].api_address();
    let (as_agent, anonymous) = (cast.channel_of_agent(&agent, &address), cast.channel_of("anonymous", &address));
    let bundle = until("a bundle", READY_MAX, async || {
        let mut request = Request::new(GetBundleRequest::default());
        request.set_timeout(CALL);
        BundleClient::new(anonymous.clone()).get_bundle(request).await
    });
    let entries = until("entries", READY_MAX, async || {
        let mut request = Request::new(GetAuthorizedEntriesRequest::default());
        request.set_timeout(CALL);
        EntryClient::new(as_agent.clone()).get_authorized_entries(request).await
    });
    let (bundle, entries) = tokio::join!(bundle, entries);
    let bundle = bundle.expect("it is given").into_inner();
    assert!(bundle.x509_authorities.iter().any(|root| root.asn1 == late), "the first bundle that is given is whole");
    let entries = entries.expect("they are given").into_inner().entries;
    assert_eq!(entries.len(), BATCHES * BATCH, "the first list that is given is whole");
}
