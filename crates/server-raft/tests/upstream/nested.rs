//! One server below another. `STOCK_SPIRE_SERVER` and `STOCK_SPIRE_AGENT` name SPIRE's programs; without them only our
//! own are nested.

use std::collections::BTreeSet;
use std::time::Duration;

use steeple_api::server::localauthority::{
    ActivateX509AuthorityRequest, PrepareX509AuthorityRequest, RevokeX509AuthorityRequest, TaintX509AuthorityRequest,
};
use steeple_api::types;
use steeple_ca::certificate;
use steeple_testkit::{
    Admin, Agent, AgentSpec, Attestation, Binaries, Scratch, Server, WorkloadStream, own_uid_selector, until,
    workload_entry,
};

use tonic::Code;

use crate::subordinate::{PATIENCE, TRUST_DOMAIN, active, expect, minted_chain, server, tainted};

const NESTED: &str = "spiffe://example.org/nested";

#[tokio::test]
async fn our_server_below_ours() {
    let ours = Binaries::find().expect("our programs");
    works_together(&ours, &ours).await;
}

#[tokio::test]
async fn our_server_below_a_stock_one() {
    let Some(stock) = Binaries::stock() else { return };
    works_together(&stock, &Binaries::find().expect("our programs")).await;
}

#[tokio::test]
async fn a_stock_server_below_ours() {
    let Some(stock) = Binaries::stock() else { return };
    works_together(&Binaries::find().expect("our programs"), &stock).await;
}

async fn works_together(above: &Binaries, below: &Binaries) {
    let scratch = Scratch::new().expect("a temporary directory");
    let mut upper = server(above, &scratch, "upper", String::new()).await;
    let mut agent = agent_with_downstream_entry(above, &scratch, &upper).await;
    let mut lower = server(below, &scratch, "lower", block(&upper, &agent)).await;
    let (high, low) = (upper.admin().clone(), lower.admin().clone());

    // X.509: whoever knows the upper server's bundle knows SVIDs of the lower one.
    let root = active(&high).await.expect("an authority").authority_id;
    assert_eq!(active(&low).await.expect("an authority").upstream_authority_subject_key_id, root);
    let bundle = high.bundle().await.expect("a bundle");
    let chain = minted_chain(&low, &bundle).await.expect("a chain that the upper bundle vouches for");
    assert_eq!(chain.len(), 2, "the SVID and the lower server's CA");

    // JWT: each knows the other's keys.
    until("both servers hold the same JWT keys", PATIENCE, async || {
        let (above, below) = (keys(&high).await?, keys(&low).await?);
        expect("two keys in both bundles", above == below && above.len() == 2)
    })
    .await
    .map_err(|error| lower.failure(&format!("{error:#}")))
    .expect("one set of keys");

    // A rotation of the upper server's waits for the lower one as for an agent, where it is ours.
    until("the lower server is waited for", PATIENCE, async || match high.authority_status().await {
        Ok(status) => {
            let known = status.acknowledgements.unwrap_or_default();
            expect("an agent and a server", known.live_agents == 2 && known.polling_agents >= 1)
        }
        Err(status) if status.code() == Code::Unimplemented => Ok(()),
        Err(status) => Err(status.into()),
    })
    .await
    .expect("it is waited for");

    // A new root comes down before it signs.
    let mut authorities = high.local_authorities();
    let prepared = authorities.prepare_x509_authority(PrepareX509AuthorityRequest {}).await.expect("an authority");
    let next = prepared.into_inner().prepared_authority.expect("it is told").authority_id;
    until("the new root is known below", PATIENCE, async || {
        expect("the new root", tainted(&low, &next).await? == Some(false))
    })
    .await
    .map_err(|error| lower.failure(&format!("{error:#}")))
    .expect("the new root");

    // A taint moves the lower server to the new root, and then its agents.
    let activate = ActivateX509AuthorityRequest { authority_id: next.clone() };
    authorities.activate_x509_authority(activate).await.expect("it signs");
    let taint = TaintX509AuthorityRequest { authority_id: root.clone() };
    authorities.taint_x509_authority(taint).await.expect("it is tainted");
    until("the lower server leaves the tainted root", PATIENCE, async || {
        expect("another CA", active(&low).await?.upstream_authority_subject_key_id == next)?;
        expect("the flag", tainted(&low, &root).await? == Some(true))
    })
    .await
    .map_err(|error| lower.failure(&format!("{error:#}")))
    .expect("another CA");
    let chain = minted_chain(&low, &high.bundle().await.expect("a bundle")).await.expect("a good chain");
    assert_eq!(chain.len(), 2);

    // A revoked root goes, once nobody needs it: an agent that polls hears of a taint some seconds later, and one that
    // does not hear of it keeps its SVIDs.
    until("the SVID of the nested server is under the new root", PATIENCE, async || {
        let update = WorkloadStream::open(&agent.socket()).await?.wait_for(NESTED, PATIENCE).await?;
        let svid = update.svids.iter().find(|svid| svid.spiffe_id == NESTED).map(|svid| svid.x509_svid.to_vec());
        let signer = svid.and_then(|svid| certificate::facts(&svid)).and_then(|facts| facts.authority_key_id);
        expect("the new root", signer.is_some_and(|signer| hex::encode(signer) == next))
    })
    .await
    .map_err(|error| upper.failure(&format!("{error:#}")))
    .expect("the new root");
    authorities
        .revoke_x509_authority(RevokeX509AuthorityRequest { authority_id: root.clone() })
        .await
        .expect("it goes");
    until("the revoked root is gone below", PATIENCE, async || {
        expect("no such root", tainted(&low, &root).await?.is_none())
    })
    .await
    .map_err(|error| lower.failure(&format!("{error:#}")))
    .expect("no such root");
    lower.stop().await.expect("an orderly end");
    agent.stop().await.expect("an orderly end");
    upper.stop().await.expect("an orderly end");
}

fn block(upper: &Server, agent: &Agent) -> String {
    let address = upper.api_address();
    let (host, port) = address.rsplit_once(':').expect("host:port");
    format!(
        "UpstreamAuthority \"spire\" {{ plugin_data {{ server_address = \"{host}\" server_port = \"{port}\" \
         workload_api_socket = \"{}\" }} }}",
        agent.socket().display()
    )
}

/// An agent of the upper server, which knows this user's processes as a nested server.
async fn agent_with_downstream_entry(binaries: &Binaries, scratch: &Scratch, upper: &Server) -> Agent {
    let token = upper.admin().create_join_token(Duration::from_secs(600)).await.expect("a token");
    let parent =
        types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: format!("/spire/agent/join_token/{token}") };
    let entry = types::Entry { downstream: true, ..workload_entry("", &parent, "/nested", vec![own_uid_selector()]) };
    upper.admin().create_entry(entry).await.expect("an entry");
    let roots = upper.admin().bundle().await.expect("a bundle").x509_authorities;
    let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
    let trust_bundle = scratch.join("bundle.pem");
    std::fs::write(&trust_bundle, pem::encode_many(&blocks)).expect("a file");
    let spec = AgentSpec {
        name: "upper-agent".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        servers: vec![upper.api_address()],
        trust_bundle,
        attestation: Attestation::JoinToken(token),
        log_level: "debug".to_owned(),
        lines: Vec::new(),
    };
    let mut agent = Agent::start(binaries, scratch.path(), &spec).expect("the agent starts");
    agent.ready().await.expect("the agent becomes ready");
    until("the identity of the nested server", PATIENCE, async || {
        // A stock server tells agents of a new entry after some seconds.
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for(NESTED, PATIENCE).await
    })
    .await
    .expect("an SVID");
    agent
}

async fn keys(admin: &Admin) -> anyhow::Result<BTreeSet<String>> {
    Ok(admin.bundle().await?.jwt_authorities.into_iter().map(|key| key.key_id).collect())
}
