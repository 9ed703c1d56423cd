//! Half of the pair is stock SPIRE's. `STOCK_SPIRE_AGENT` and `STOCK_SPIRE_SERVER` name its programs; without them
//! these tests are not run.

use std::collections::BTreeSet;
use std::time::Duration;

use spiffe::{SpiffeId, WorkloadApiClient};
use steeple_api::server::localauthority::PrepareX509AuthorityRequest;
use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_ca::certificate;
use steeple_testkit::{
    Binaries, Fixture, FixtureEntry, WorkloadStream, named_program, own_uid_selector, until, workload_entry,
};
use steeple_transport::client::uds_channel;

const STOCK_AGENT: &str = "STOCK_SPIRE_AGENT";
const STOCK_SERVER: &str = "STOCK_SPIRE_SERVER";
/// An agent polls every five seconds.
const EVENT_MAX: Duration = Duration::from_secs(90);
/// What failed while the server was away is tried again later and later.
const RECONNECT_MAX: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_stock_agent_serves_what_our_server_issues() {
    let Some(agent) = named_program(STOCK_AGENT) else { return };
    let ours = Binaries::find().expect("our programs");
    works_together(&Binaries { agent, ..ours }).await;
}

#[tokio::test]
async fn our_agent_serves_what_a_stock_server_issues() {
    let Some(server) = named_program(STOCK_SERVER) else { return };
    let ours = Binaries::find().expect("our programs");
    works_together(&Binaries { server, ..ours }).await;
}

async fn works_together(binaries: &Binaries) {
    let entry =
        |path: &str, x509_svid_ttl| FixtureEntry { path: path.to_owned(), x509_svid_ttl, ..FixtureEntry::default() };
    let mut fixture =
        Fixture::of(binaries, &[entry("/web", 0), entry("/short", 20)]).await.expect("a server and an agent");
    let id = |path: &str| format!("spiffe://{}{path}", fixture.agent_id.trust_domain);
    let socket = fixture.agent.socket();

    // X.509: what is there, what comes, and what goes.
    let served = until("an identity", EVENT_MAX, async || {
        // A stock server tells agents of a new entry after some seconds; until then the agent refuses the workload.
        let mut stream = WorkloadStream::open(&socket).await?;
        let first = stream.wait_for(&id("/short"), EVENT_MAX).await?;
        anyhow::Ok((stream, first))
    });
    let (mut stream, first) = served.await.expect("an SVID");
    let authorities = &fixture.bundle.x509_authorities;
    assert!(first.svids.iter().all(|svid| authorities.iter().any(|root| root.asn1 == svid.bundle)));
    let short = |update: &steeple_api::workload::X509svidResponse| {
        update.svids.iter().find(|svid| svid.spiffe_id == id("/short")).map(|svid| svid.x509_svid.clone())
    };
    let rotated = async {
        loop {
            let update = stream.next().await.expect("an open stream");
            if short(&update).is_some_and(|svid| Some(svid) != short(&first)) {
                return;
            }
        }
    };
    tokio::time::timeout(EVENT_MAX, rotated).await.expect("a rotation");
    let late = workload_entry("", &fixture.agent_id, "/late", vec![own_uid_selector()]);
    fixture.server.admin().create_entry(late).await.expect("an entry");
    stream.wait_for(&id("/late"), EVENT_MAX).await.expect("the new entry's SVID");

    // A bundle: a new authority reaches the stream that is open, and bundles that are asked for.
    let mut authorities = LocalAuthorityClient::new(uds_channel(&fixture.server.admin_socket()));
    authorities.prepare_x509_authority(PrepareX509AuthorityRequest::default()).await.expect("a new authority");
    let bundle = fixture.server.admin().bundle().await.expect("a bundle");
    assert_eq!(bundle.x509_authorities.len(), 2);
    let everything: BTreeSet<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.asn1).collect();
    let arrived = async {
        loop {
            let update = stream.next().await.expect("an open stream");
            if update.svids.iter().any(|svid| certificate::split(&svid.bundle).is_some_and(|roots| roots.len() == 2)) {
                return update;
            }
        }
    };
    let update = tokio::time::timeout(EVENT_MAX, arrived).await.expect("the new bundle");
    for svid in &update.svids {
        let roots: BTreeSet<Vec<u8>> = certificate::split(&svid.bundle).expect("certificates").into_iter().collect();
        assert_eq!(roots, everything);
    }

    // JWT: issued by one, validated by the other.
    let client = WorkloadApiClient::connect_to(format!("unix:{}", socket.display())).await.expect("a connection");
    let web = SpiffeId::new(id("/web")).expect("a SPIFFE ID");
    let token = client.fetch_jwt_token(["api"], Some(&web)).await.expect("a token");
    assert_eq!(client.validate_jwt_token("api", &token).await.expect("a good token").spiffe_id(), &web);
    assert!(client.validate_jwt_token("other", &token).await.is_err());

    // A restart of the agent, and one of the server.
    fixture.agent.stop().await.expect("an orderly end");
    fixture.agent.restart(binaries).expect("it starts");
    fixture.agent.ready().await.expect("it is ready without its token");
    stream = identity(&fixture, &id("/web")).await;
    fixture.server.stop().await.expect("an orderly end");
    fixture.server.launch().expect("it starts");
    fixture.server.ready().await.expect("it is ready");
    let after = workload_entry("", &fixture.agent_id, "/after", vec![own_uid_selector()]);
    fixture.server.admin().create_entry(after).await.expect("an entry");
    stream.wait_for(&id("/after"), RECONNECT_MAX).await.expect("the new entry's SVID");
    assert_eq!(attestations(&fixture), 1, "one attestation is enough for all of this");
    fixture.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn agents_of_both_kinds_take_over_each_others_directory() {
    let Some(agent) = named_program(STOCK_AGENT) else { return };
    let ours = Binaries::find().expect("our programs");
    let theirs = Binaries { agent, ..ours.clone() };
    for [first, second] in [[&ours, &theirs], [&theirs, &ours]] {
        let web = FixtureEntry { path: "/web".to_owned(), ..FixtureEntry::default() };
        let mut fixture = Fixture::of(first, &[web]).await.expect("a server and an agent");
        let id = format!("spiffe://{}/web", fixture.agent_id.trust_domain);
        identity(&fixture, &id).await;
        for next in [second, first] {
            fixture.agent.stop().await.expect("an orderly end");
            fixture.agent.restart(next).expect("it starts");
            fixture.agent.ready().await.expect("it goes on with the SVID and the key that it finds");
            identity(&fixture, &id).await;
        }
        assert_eq!(attestations(&fixture), 1, "the token was spent once, by the first");
        fixture.stop().await.expect("an orderly end");
    }
}

async fn identity(fixture: &Fixture, id: &str) -> WorkloadStream {
    let served = until("an identity", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&fixture.agent.socket()).await?;
        stream.wait_for(id, EVENT_MAX).await?;
        anyhow::Ok(stream)
    });
    served.await.expect("an SVID")
}

fn attestations(fixture: &Fixture) -> usize {
    fixture.agent.log().expect("a log").matches("Node attestation was successful").count()
}
