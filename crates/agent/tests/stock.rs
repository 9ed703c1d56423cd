//! Half of the pair is stock SPIRE's. `STOCK_SPIRE_AGENT` and `STOCK_SPIRE_SERVER` name its programs; without them
//! these tests are not run.

use std::path::PathBuf;
use std::time::Duration;

use spiffe::{SpiffeId, WorkloadApiClient};
use steeple_testkit::{Binaries, Fixture, FixtureEntry, WorkloadStream, own_uid_selector, until, workload_entry};

const STOCK_AGENT: &str = "STOCK_SPIRE_AGENT";
const STOCK_SERVER: &str = "STOCK_SPIRE_SERVER";
/// An agent polls every five seconds.
const EVENT_MAX: Duration = Duration::from_secs(30);

fn stock(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("not run: {variable} is not set");
    }
    path
}

#[tokio::test]
async fn a_stock_agent_serves_what_our_server_issues() {
    let Some(agent) = stock(STOCK_AGENT) else { return };
    let ours = Binaries::find().expect("our programs");
    works_together(&Binaries { agent, ..ours }).await;
}

#[tokio::test]
async fn our_agent_serves_what_a_stock_server_issues() {
    let Some(server) = stock(STOCK_SERVER) else { return };
    let ours = Binaries::find().expect("our programs");
    works_together(&Binaries { server, ..ours }).await;
}

async fn works_together(binaries: &Binaries) {
    let entry =
        |path: &str, x509_svid_ttl| FixtureEntry { path: path.to_owned(), x509_svid_ttl, ..FixtureEntry::default() };
    let fixture = Fixture::of(binaries, &[entry("/web", 0), entry("/short", 20)]).await.expect("a server and an agent");
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

    // JWT: issued by one, validated by the other.
    let client = WorkloadApiClient::connect_to(format!("unix:{}", socket.display())).await.expect("a connection");
    let web = SpiffeId::new(id("/web")).expect("a SPIFFE ID");
    let token = client.fetch_jwt_token(["api"], Some(&web)).await.expect("a token");
    assert_eq!(client.validate_jwt_token("api", &token).await.expect("a good token").spiffe_id(), &web);
    assert!(client.validate_jwt_token("other", &token).await.is_err());
    fixture.stop().await.expect("an orderly end");
}
