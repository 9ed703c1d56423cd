//! What agents hear whose certificate is no longer theirs.

use serde_json::Value as Json;
use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::{BanAgentRequest, DeleteAgentRequest};
use steeple_api::status::denial_reason;
use steeple_api::types::permission_denied_details::Reason;
use steeple_testkit::until;

use crate::site::{Node, READY_MAX, Site};

#[tokio::test]
async fn each_reason_reaches_the_agent() {
    let site = Site::start().await;
    let mut agents = site.admin.agents();
    let (banned, evicted, files) = (site.by_join_token().await, site.by_join_token().await, site.certificate());
    let replaced = site.by_certificate(&files).await;
    for node in [&banned, &evicted, &replaced] {
        node.call().await.expect("an attested agent is let in");
    }

    let refused = replaced.renew().await;
    assert_eq!(refused.message(), "agent must reattest instead of renew");
    assert_eq!(denial_reason(&refused), Some(Reason::AgentMustReattest));

    let replacement = site.by_certificate(&files).await;
    assert_eq!(replacement.svid.id, replaced.svid.id);
    replacement.call().await.expect("the new SVID is let in");
    replaced.assert_turned_away(Reason::AgentNotActive).await;

    agents.ban_agent(BanAgentRequest { id: Some(id_to_wire(&banned.svid.id)) }).await.expect("banned");
    banned.assert_turned_away(Reason::AgentBanned).await;
    agents.delete_agent(DeleteAgentRequest { id: Some(id_to_wire(&evicted.svid.id)) }).await.expect("evicted");
    evicted.assert_turned_away(Reason::AgentNotAttested).await;

    let log = std::fs::read_to_string(site.scratch.join("log")).expect("a log");
    let lines: Vec<Json> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told = |message: &str, node: &Node| {
        let mut lines = lines.iter();
        let told = lines.find(|line| line["msg"] == message && line["caller_id"] == node.svid.id.as_str());
        told.unwrap_or_else(|| panic!("no line {message:?} for {}", node.svid.id)).clone()
    };
    told("Agent is banned", &banned);
    told("Agent is not attested", &evicted);
    let inactive = told("Agent SVID is not active", &replaced);
    let serials = ["svid_serial_num", "serial_num"].map(|name| inactive[name].as_str().unwrap_or_default());
    assert!(serials[0] != serials[1] && !serials.contains(&""), "{inactive}");
}

#[tokio::test]
async fn who_outlives_its_certificate_is_told_on_the_connection_that_it_has() {
    let site = Site::with("ratelimit { attestation = false } agent_ttl = \"5s\"").await;
    // On a busy machine it may have expired before the connection is there; then another one attests.
    let outlived = until("an agent that is let in", READY_MAX, async || {
        let node = site.by_join_token().await;
        node.call().await.map(|()| node)
    });
    let outlived = outlived.await.expect("an agent");
    let expired = until("it expires", READY_MAX, async || match outlived.call().await {
        Ok(()) => Err("it is still let in"),
        Err(status) => Ok(status),
    });
    Node::assert_is_denial(&expired.await.expect("a refusal"), Reason::AgentExpired);
}
