//! Everything was off for longer than anything lasts: the CA, the SVIDs of servers and agents, the certificates with
//! which replicas know each other. The servers come back without a hand; agents come back as their attestors allow.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use steeple_api::types;
use steeple_api::workload::X509svidResponse;
use steeple_ca::certificate;
use steeple_core::Timestamp;
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cluster, NodeCertificateAuthority, Offset, Scratch, ServerSpec, WallClock,
    WorkloadStream, own_uid_selector, preload_env, until, workload_entry,
};

const TRUST_DOMAIN: &str = "example.org";
const WORKLOAD: &str = "spiffe://example.org/w";
/// The certificates of peers last the longest, 30 days.
const OFF: Duration = Duration::from_secs(40 * 24 * 3600);
/// What their owners brought along, a node's certificate, is still good.
const NODE_DAYS: u16 = 100;
const TOKEN_TTL: Duration = Duration::from_secs(600);
const EVENT_MAX: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_system_that_was_off_for_longer_than_every_certificate_comes_back_by_itself() {
    let scratch = Scratch::new().expect("a directory");
    let clock = WallClock::new(scratch.path()).expect("a clock");
    let env = preload_env(&[clock.preload()]);
    let found = Binaries::find().expect("the programs");
    let binaries = Binaries { agent: by_clock(scratch.path(), &found.agent, &env), server: found.server };
    let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
    let spec = ServerSpec {
        name: String::new(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: Some(nodes.root_path().to_owned()),
        jwt_issuer: None,
        log_level: "debug".to_owned(),
        env,
    };
    let mut cluster = Cluster::start(&binaries, scratch.path(), 3, &spec).await.expect("a cluster");
    let trust_bundle = scratch.join("bundle.pem");
    let before = write_bundle(&cluster, &trust_bundle).await;
    let servers = cluster.api_addresses();
    let agent = |name: &str, attestation: Attestation| AgentSpec {
        name: name.to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        servers: servers.clone(),
        trust_bundle: trust_bundle.clone(),
        attestation,
        log_level: "debug".to_owned(),
        // Whoever hands out the bundle hands out the one of the day.
        lines: ["rebootstrap_mode = \"auto\"", "rebootstrap_delay = \"1s\""].map(str::to_owned).to_vec(),
    };
    let certified = nodes.issue_for(scratch.path(), "node-1", NODE_DAYS).expect("a certificate");
    let certified = agent("certified", Attestation::X509Pop(certified));
    let mut certified = Agent::start(&binaries, scratch.path(), &certified).expect("it starts");
    let token = async |cluster: &Cluster| {
        let token = cluster.servers[0].admin().create_join_token(TOKEN_TTL).await.expect("a token");
        agent("invited", Attestation::JoinToken(token))
    };
    let mut invited = Agent::start(&binaries, scratch.path(), &token(&cluster).await).expect("it starts");
    for agent in [&mut certified, &mut invited] {
        agent.ready().await.expect("it is ready");
    }
    let ids = cluster.servers[0].admin().agent_ids("x509pop").await.expect("agents");
    let entry = workload_entry("", &ids[0], "/w", vec![own_uid_selector()]);
    cluster.servers[0].admin().create_entry(entry).await.expect("an entry");
    served(&certified).await;

    for agent in [&mut certified, &mut invited] {
        agent.stop().await.expect("it stops");
    }
    cluster.stop().await.expect("all are off");
    clock.set(Offset::Ahead(OFF)).expect("a clock");
    let now = Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs() as i64);
    let now = now.saturating_add(OFF);
    for server in &mut cluster.servers {
        server.launch().expect("it starts");
    }
    for server in &mut cluster.servers {
        server.ready().await.expect("it serves");
    }
    cluster.all_vote().await.expect("they are one cluster");
    cluster.converged().await.expect("one state");

    let after = write_bundle(&cluster, &trust_bundle).await;
    let is_good = |der: &Vec<u8>| certificate::facts(der).is_some_and(|facts| facts.not_after > now);
    assert!(!before.iter().any(is_good) && after.iter().any(is_good), "the CA had ended, and another one signs");
    for server in &cluster.servers {
        let entry = workload_entry("", &ids[0], &format!("/{}", server.name()), vec![own_uid_selector()]);
        server.admin().create_entry(entry).await.expect("it takes a change");
    }

    // A node's certificate proves it again, and its workloads have what is new.
    certified.restart(&binaries).expect("it starts");
    certified.ready().await.expect("it attests again");
    let fresh = served(&certified).await;
    let svid = fresh.svids.iter().find(|svid| svid.spiffe_id == WORKLOAD).expect("waited for");
    assert!(certificate::facts(&svid.x509_svid).is_some_and(|facts| facts.not_after > now), "it has a life before it");
    let known = cluster.servers[0].admin().agent_ids("x509pop").await.expect("agents");
    assert_eq!(known, ids, "it is the agent that it was");

    // A token works once: its agent says so and ends, and with another one it is there again.
    invited.restart(&binaries).expect("it starts");
    let ended = tokio::time::timeout(EVENT_MAX, invited.process_mut().exited()).await.expect("it ends by itself");
    assert_eq!(ended.expect("a status").code(), Some(1));
    let log = invited.log().expect("a log");
    assert!(log.contains("join token does not exist or has already been used"), "{log}");
    let mut invited = Agent::start(&binaries, scratch.path(), &token(&cluster).await).expect("it starts");
    invited.ready().await.expect("it is let in");

    for agent in [&mut certified, &mut invited] {
        agent.stop().await.expect("an orderly end");
    }
    cluster.stop().await.expect("an orderly end");
    scratch.remove().expect("an empty place");
}

/// The program with the environment of its clock.
fn by_clock(dir: &Path, program: &Path, env: &[(String, String)]) -> PathBuf {
    let variables: Vec<String> = env.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    let script = format!("#!/bin/sh\nexec env {} '{}' \"$@\"\n", variables.join(" "), program.display());
    let path = dir.join("agent-by-clock");
    std::fs::write(&path, script).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

/// The roots of the trust domain, which `path` holds from now on.
async fn write_bundle(cluster: &Cluster, path: &Path) -> Vec<Vec<u8>> {
    let bundle: types::Bundle = cluster.servers[0].admin().bundle().await.expect("a bundle");
    let ders: Vec<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.asn1).collect();
    let blocks: Vec<_> = ders.iter().map(|der| pem::Pem::new("CERTIFICATE", der.clone())).collect();
    std::fs::write(path, pem::encode_many(&blocks)).expect("a file");
    ders
}

async fn served(agent: &Agent) -> X509svidResponse {
    let served = until("an SVID", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for(WORKLOAD, EVENT_MAX).await
    });
    served.await.expect("an SVID")
}
