//! What agents hear whose certificate is no longer theirs.

use std::time::Duration;

use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::{BanAgentRequest, DeleteAgentRequest};
use steeple_api::status::denial_reason;
use steeple_api::types::permission_denied_details::Reason;
use steeple_core::{Clock, SystemClock};

use crate::site::Site;

#[tokio::test]
async fn each_reason_reaches_the_agent() {
    let site = Site::start().await;
    let mut agents = site.admin.agents();
    let (banned, evicted) = (site.by_join_token().await, site.by_join_token().await);
    let (outlived, files) = (site.by_join_token().await, site.certificate());
    let replaced = site.by_certificate(&files).await;
    for node in [&banned, &evicted, &outlived, &replaced] {
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

    let left = outlived.svid.not_after.since(SystemClock.now());
    tokio::time::sleep(left + Duration::from_secs(1)).await;
    outlived.assert_turned_away(Reason::AgentExpired).await;
}
