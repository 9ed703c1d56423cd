//! `ca rotate` against real replicas, with an agent and a workload that watch every moment of it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use steeple_api::server::localauthority::PrepareX509AuthorityRequest;
use steeple_api::steeple::server::{Acknowledgements, AuthorityStatusResponse};
use steeple_api::workload::X509svidResponse;
use steeple_ca::certificate;
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cluster, Fixture, FixtureEntry, NodeCertificateAuthority, Scratch, Server,
    ServerSpec, WorkloadStream, own_uid_selector, until, workload_entry,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

const TRUST_DOMAIN: &str = "example.org";
const WORKLOAD: &str = "spiffe://example.org/w";
/// An agent polls every five seconds; a replica that was restarted says for a minute that it may not know all agents.
const EVENT_MAX: Duration = Duration::from_secs(180);
/// An update that has arrived is read within this time, which is short against the interval of syncs.
const UNREAD_MAX: Duration = Duration::from_millis(500);
/// Longer than anything a test waits for: no wait ends because it took too long.
const ACK_WAIT: &str = "30m";

/// Three replicas, an agent of ours and a workload.
struct World {
    scratch: Scratch,
    binaries: Binaries,
    cluster: Cluster,
    agent: Agent,
}

impl World {
    async fn new() -> Self {
        let scratch = Scratch::new().expect("a directory");
        let binaries = Binaries::find().expect("the programs");
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
        let spec = ServerSpec {
            name: String::new(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: Some(nodes.root_path().to_owned()),
            jwt_issuer: None,
            log_level: "debug".to_owned(),
            env: Vec::new(),
        };
        let cluster = Cluster::start(&binaries, scratch.path(), 3, &spec).await.expect("a cluster");
        let admin = cluster.servers[0].admin();
        let roots = admin.bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = scratch.join("bundle.pem");
        std::fs::write(&trust_bundle, pem::encode_many(&blocks)).expect("a file");
        let agent = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: cluster.api_addresses(),
            trust_bundle,
            attestation: Attestation::X509Pop(nodes.issue(scratch.path(), "node-1").expect("a certificate")),
            log_level: "debug".to_owned(),
            lines: Vec::new(),
        };
        let mut agent = Agent::start(&binaries, scratch.path(), &agent).expect("it starts");
        agent.ready().await.expect("it is ready");
        let ids = admin.agent_ids("x509pop").await.expect("agents");
        let entry = workload_entry("", &ids[0], "/w", vec![own_uid_selector()]);
        admin.create_entry(entry).await.expect("an entry");
        Self { scratch, binaries, cluster, agent }
    }

    async fn stop(mut self) {
        self.agent.stop().await.expect("an orderly end");
        self.cluster.stop().await.expect("an orderly end");
        drop(self.binaries);
        self.scratch.remove().expect("an empty place");
    }
}

fn rotate(server: &Server, args: &[&str]) -> Command {
    let mut command = Command::new(server.program());
    command.args(["ca", "rotate", "-kind", "x509", "-ackWait", ACK_WAIT, "-socketPath"]).arg(server.admin_socket());
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it until a line on standard error says `words`, then kills it.
async fn kill_at(mut command: Command, words: &str) {
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut said = String::new();
    let reached = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            said += &format!("{line}\n");
            if line.contains(words) {
                return;
            }
        }
        panic!("it ended before {words:?}: {said}");
    };
    tokio::time::timeout(EVENT_MAX, reached).await.unwrap_or_else(|_| panic!("never said {words:?}"));
    child.kill().await.expect("it runs");
}

async fn run(mut command: Command) -> String {
    let output = tokio::time::timeout(2 * EVENT_MAX, command.output()).await.expect("it ends").expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

fn known(status: &AuthorityStatusResponse) -> &Acknowledgements {
    status.acknowledgements.as_ref().expect("acknowledgements")
}

fn authority_id(status: &AuthorityStatusResponse, slot: &str) -> String {
    let mut x509 = status.authorities.iter().filter(|authority| authority.kind == "x509");
    x509.find(|authority| authority.slot == slot).map(|authority| authority.authority_id.clone()).unwrap_or_default()
}

fn is_verified_by(svid: &[u8], roots: &[Vec<u8>]) -> bool {
    let chain = certificate::split(svid).expect("certificates");
    let last = chain.last().expect("a certificate");
    roots.iter().any(|root| certificate::is_signed_by(last, root))
}

/// Every update must verify by the bundle that comes with it. The last one is there for others to look at.
async fn watch_workload(mut stream: WorkloadStream, last: watch::Sender<Option<X509svidResponse>>) {
    while let Ok(update) = stream.next().await {
        for svid in &update.svids {
            let roots = certificate::split(&svid.bundle).expect("certificates");
            assert!(is_verified_by(&svid.x509_svid, &roots), "an SVID that its own update cannot verify");
        }
        last.send_replace(Some(update));
    }
}

/// What the workload shows must verify by what the servers publish, at every moment.
async fn watch_bundle(server: steeple_testkit::Admin, last: watch::Receiver<Option<X509svidResponse>>) {
    loop {
        // First what is shown, then the bundle: whoever verifies is never ahead of whoever shows.
        let shown = last.borrow().clone();
        if let (Some(shown), Ok(bundle)) = (shown, server.bundle().await) {
            let roots: Vec<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.asn1).collect();
            if !shown.svids.iter().all(|svid| is_verified_by(&svid.x509_svid, &roots)) {
                // Perhaps its successor waits to be read.
                tokio::time::sleep(UNREAD_MAX).await;
                assert!(last.borrow().as_ref() != Some(&shown), "an SVID in use that nobody verifies any more");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_compromised_authority_goes_and_no_svid_is_ever_unverifiable() {
    let world = World::new().await;
    let server = &world.cluster.servers[1];
    let before = authority_id(&server.admin().authority_status().await.expect("a status"), "active");
    let served = until("an identity", EVENT_MAX, async || {
        // Until its next sync the agent does not know the entry.
        let mut stream = WorkloadStream::open(&world.agent.socket()).await?;
        let first = stream.wait_for(WORKLOAD, EVENT_MAX).await?;
        anyhow::Ok((stream, first))
    });
    let (stream, first) = served.await.expect("an SVID");
    let (last, shown) = watch::channel(Some(first.clone()));
    let workload = tokio::spawn(watch_workload(stream, last));
    let verifier = tokio::spawn(watch_bundle(server.admin().clone(), shown.clone()));

    // Killed in the middle, and gone on with on another replica.
    kill_at(rotate(server, &["-compromised"]), "wait until all know it").await;
    // An agent on a push stream replaces what it serves before anybody sees that it has not.
    kill_at(rotate(&world.cluster.servers[0], &["-compromised"]), "taint").await;
    // Whether it was tainted yet, nobody can tell: whoever goes on names it.
    let said = run(rotate(server, &["-compromised", "-authorityID", &before])).await;
    assert!(said.contains("100%") && said.contains("revoked"), "{said}");
    assert!(!said.contains("going on without"), "{said}");

    let after = server.admin().authority_status().await.expect("a status");
    assert_eq!(authority_id(&after, "old"), before, "one rotation, however often it was killed");
    assert!(!workload.is_finished() && !verifier.is_finished(), "nothing was unverifiable");
    let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
    assert!(roots.iter().all(|root| !root.tainted), "the compromised one is gone");
    let replaced = shown.borrow().clone().expect("an update");
    assert_ne!(replaced.svids[0].x509_svid, first.svids[0].x509_svid, "the workload has another SVID");
    let log = world.agent.log().expect("a log");
    for line in [
        "New tainted X.509 authorities found",
        "Scheduled rotation for SVID entries due to tainted X.509 authorities",
        "Agent SVID is tainted by a root authority, forcing rotation",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    // Its former SVID is refused from then on, on the stream that came with it: nothing that anybody must look at.
    assert!(log.contains("Agent SVID rotated") && !log.contains("Synchronize failed"), "{log}");
    for server in &world.cluster.servers {
        let log = std::fs::read_to_string(server.log()).expect("a log");
        assert!(!log.contains("Agent SVID is not active"), "{log}");
    }
    verifier.abort();
    workload.abort();
    world.stop().await;
}

#[tokio::test]
async fn a_leader_that_is_killed_in_the_middle_of_the_wait_costs_nothing_but_time() {
    let mut world = World::new().await;
    let admin = world.cluster.servers[0].admin().clone();
    let alive = async || {
        let status = admin.authority_status().await?;
        let known = known(&status);
        ensure!(known.live_agents > 0 && known.polling_agents == 0 && known.missing == 0, "{known:?}");
        Ok(status)
    };
    let before = until("the agent reports", EVENT_MAX, alive).await.expect("a report");
    let leader = world.cluster.leader().await.expect("a leader");
    let asked = (leader + 1) % world.cluster.servers.len();

    // An agent that is alive and does not answer is waited for.
    world.agent.process().pause();
    let mut waiting = rotate(&world.cluster.servers[asked], &[]).spawn().expect("it starts");
    let mut lines = BufReader::new(waiting.stderr.take().expect("a pipe")).lines();
    let told = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if line.contains("wait until all know it") {
                return;
            }
        }
        panic!("it ended too early");
    };
    tokio::time::timeout(EVENT_MAX, told).await.expect("it waits");
    let drain = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    world.cluster.servers[leader].kill9().await.expect("it is killed");
    world.agent.process().resume();
    let missing = until("another leader counts anew", EVENT_MAX, async || {
        let status = world.cluster.servers[asked].admin().authority_status().await?;
        let silent = known(&status).replicas.iter().filter(|replica| !replica.answers).count();
        ensure!(silent == 1 && authority_id(&status, "active") == authority_id(&before, "active"), "{status:?}");
        anyhow::Ok(known(&status).missing)
    });
    assert!(missing.await.expect("a leader") >= 1, "the replica that is away is waited for");
    assert!(waiting.try_wait().expect("a child").is_none(), "the rotation goes on");

    world.cluster.servers[leader].launch().expect("it starts");
    world.cluster.servers[leader].ready().await.expect("it is ready");
    let ended = tokio::time::timeout(2 * EVENT_MAX, waiting.wait()).await.expect("it ends").expect("a child");
    assert!(ended.success(), "{ended}");
    drain.await.expect("the end of its words");
    let after = world.cluster.servers[asked].admin().authority_status().await.expect("a status");
    assert_eq!(authority_id(&after, "old"), authority_id(&before, "active"));
    world.stop().await;
}

#[tokio::test]
async fn a_stock_agent_counts_by_fetching_the_bundle_and_survives_a_compromised_authority() {
    let Some(agent) = std::env::var_os("STOCK_SPIRE_AGENT") else {
        eprintln!("not run: STOCK_SPIRE_AGENT is not set");
        return;
    };
    let binaries = Binaries { agent: Path::new(&agent).to_owned(), ..Binaries::find().expect("our programs") };
    let entry = FixtureEntry { path: "/web".to_owned(), ..FixtureEntry::default() };
    let fixture = Fixture::of(&binaries, &[entry]).await.expect("a server and an agent");
    let admin = fixture.server.admin();
    let holds_it = async || {
        let status = admin.authority_status().await?;
        let known = known(&status);
        let all = known.live_agents == 1 && known.polling_agents == 1 && known.missing_agents == 0;
        ensure!(all, "{known:?}");
        Ok(known.bundle_sequence)
    };
    let before = until("it fetched the bundle", EVENT_MAX, holds_it).await.expect("a sync");
    admin.local_authorities().prepare_x509_authority(PrepareX509AuthorityRequest {}).await.expect("an authority");
    let status = admin.authority_status().await.expect("a status");
    assert!(known(&status).bundle_sequence > before && !authority_id(&status, "prepared").is_empty());
    until("it fetched the next one", EVENT_MAX, holds_it).await.expect("a sync");

    // It would end if the root went while the server still shows its old SVID.
    let said = run(rotate(&fixture.server, &["-compromised"])).await;
    assert!(said.contains("revoked") && !said.contains("going on without"), "{said}");
    let id = format!("spiffe://{TRUST_DOMAIN}/web");
    let mut stream = WorkloadStream::open(&fixture.agent.socket()).await.expect("the agent runs");
    let update = stream.wait_for(&id, EVENT_MAX).await.expect("an SVID");
    let roots = fixture.server.admin().bundle().await.expect("a bundle").x509_authorities;
    let roots: Vec<Vec<u8>> = roots.into_iter().map(|root| root.asn1).collect();
    assert!(update.svids.iter().all(|svid| is_verified_by(&svid.x509_svid, &roots)), "of the authority that stays");
    fixture.stop().await.expect("an orderly end");
}
