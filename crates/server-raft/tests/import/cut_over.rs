//! A stock server stops, ours starts in its place, and nobody notices. `STOCK_SPIRE_SERVER` and `STOCK_SPIRE_AGENT`
//! name SPIRE's programs; without them this is not run.

use std::time::Duration;

use steeple_api::server::localauthority::GetX509AuthorityStateRequest;
use steeple_testkit::{
    Admin, Binaries, Fixture, FixtureEntry, Port, WorkloadStream, own_uid_selector, until, workload_entry,
};

use crate::site::{count, import, ours};

/// A stock agent looks every five seconds, and less often after failures.
const EVENT_MAX: Duration = Duration::from_secs(180);

async fn active(admin: &Admin) -> String {
    let state = admin.local_authorities().get_x509_authority_state(GetX509AuthorityStateRequest {}).await;
    state.expect("a state").into_inner().active.expect("it signs").authority_id
}

#[tokio::test]
async fn a_stock_agent_and_its_workload_go_on_behind_our_server() {
    let Some(stock) = Binaries::stock() else { return };
    let entry =
        |path: &str, x509_svid_ttl| FixtureEntry { path: path.to_owned(), x509_svid_ttl, ..FixtureEntry::default() };
    // An agent that came by a join token cannot attest again: it goes on with what it has, or not at all.
    let mut fixture =
        Fixture::of(&stock, &[entry("/web", 0), entry("/short", 60)]).await.expect("a server and an agent");
    let id = |path: &str| format!("spiffe://example.org{path}");
    let socket = fixture.agent.socket();
    let served = until("an identity", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&socket).await?;
        let first = stream.wait_for(&id("/short"), EVENT_MAX).await?;
        anyhow::Ok((stream, first))
    });
    let (mut stream, first) = served.await.expect("an SVID");
    let old_root = fixture.bundle.x509_authorities[0].asn1.clone();
    let old_authority = active(fixture.server.admin()).await;
    let [datastore, keys] = fixture.server.spire_files();
    let args = ["-keys", keys.to_str().expect("text"), "-output", "json"];

    fixture.server.stop().await.expect("an orderly end");
    // A stock agent ends at a server whose root it does not know: until the import, ours is where no agent finds it.
    let aside = Port::reserve().expect("a port").number().to_string();
    fixture.server.launch_as(&ours(), &["-serverPort", &aside]).expect("our server starts aside");
    fixture.server.ready().await.expect("it becomes ready");
    let done = import(&fixture.server, &datastore, &args).await.report();
    assert_eq!(done["written"], true);
    assert_eq!((count(&done, "agent", "created"), count(&done, "entry", "created")), (1, 2), "{done}");
    assert!(count(&done, "authority", "created") >= 2, "{done}");
    assert_eq!(active(fixture.server.admin()).await, old_authority);
    fixture.server.stop().await.expect("an orderly end");
    fixture.server.launch_as(&ours(), &[]).expect("our server starts in the old one's place");
    fixture.server.ready().await.expect("it becomes ready");

    // The agent that ran all the while learns of a new entry, and its workload's stream never broke.
    let after = workload_entry("", &fixture.agent_id, "/after", vec![own_uid_selector()]);
    fixture.server.admin().create_entry(after).await.expect("an entry");
    let update = stream.wait_for(&id("/after"), EVENT_MAX).await;
    let update = update.map_err(|error| fixture.agent.process().failure(&format!("{error:#}"))).expect("its SVID");
    for svid in &update.svids {
        let roots = steeple_ca::certificate::split(&svid.bundle).expect("certificates");
        assert!(roots.contains(&old_root), "what was issued before verifies");
    }
    assert!(update.svids.iter().any(|svid| svid.spiffe_id == id("/web")), "nothing was lost on the way");
    // A rotation, signed here with the old server's key.
    let short = |update: &steeple_api::workload::X509svidResponse| {
        update.svids.iter().find(|svid| svid.spiffe_id == id("/short")).map(|svid| svid.x509_svid.clone())
    };
    let before = short(&first);
    let mut latest = update;
    let rotated = async {
        while short(&latest).is_none() || short(&latest) == before {
            latest = stream.next().await.expect("an open stream");
        }
    };
    tokio::time::timeout(EVENT_MAX, rotated).await.expect("a rotation");
    let leaf = steeple_ca::certificate::split(&short(&latest).expect("an SVID")).expect("certificates").remove(0);
    assert!(steeple_ca::certificate::is_signed_by(&leaf, &old_root), "the imported authority signed it");
    let attested = fixture.agent.log().expect("a log").matches("Node attestation was successful").count();
    assert_eq!(attested, 1, "the agent did not have to attest again");

    let again = import(&fixture.server, &datastore, &args).await.report();
    assert_eq!(again["written"], false, "{again}");
    fixture.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn a_datastore_that_a_stock_server_has_open_is_only_looked_at() {
    let Some(stock) = Binaries::stock() else { return };
    let old = Fixture::of(&stock, &[]).await.expect("a server and an agent");
    let site = crate::site::Site::new();
    let server = site.server("example.org").await;
    let [datastore, _] = old.server.spire_files();
    let said = import(&server, &datastore, &["-output", "json"]).await;
    assert!(
        !said.ok && said.stderr.contains("another program has the datastore open"),
        "{}{}",
        said.stdout,
        said.stderr
    );
    let report = said.json();
    assert_eq!((&report["written"], &report["in_use"]), (&false.into(), &true.into()), "{report}");
    assert!(import(&server, &datastore, &["-dry-run"]).await.ok);

    // What its agents must know before they are moved, where its keys cannot be brought along.
    let mut publish = tokio::process::Command::new(ours().server);
    publish
        .args(["import", "publish", "-socketPath"])
        .arg(server.admin_socket())
        .arg("-to")
        .arg(old.server.admin_socket());
    let output = publish.kill_on_drop(true).output().await.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (ours, theirs) = (server.admin().bundle().await, old.server.admin().bundle().await);
    let (ours, theirs) = (ours.expect("a bundle"), theirs.expect("a bundle"));
    assert!(ours.x509_authorities.iter().all(|root| theirs.x509_authorities.contains(root)));
    assert!(
        ours.jwt_authorities.iter().all(|key| theirs.jwt_authorities.iter().any(|known| known.key_id == key.key_id))
    );
    old.stop().await.expect("an orderly end");
}
