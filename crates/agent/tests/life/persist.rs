//! `persist_svids`: a restart while no server answers.

use std::os::unix::fs::PermissionsExt as _;

use steeple_api::workload::X509svidResponse;
use steeple_testkit::{Agent, WorkloadStream};

use super::{EVENT_MAX, WORKLOAD, World, identity, says};

const LINES: [&str; 1] = ["persist_svids = true"];

/// What a workload gets at once; an agent that serves nothing lets it wait.
async fn served(agent: &Agent) -> X509svidResponse {
    let mut stream = WorkloadStream::open(&agent.socket()).await.expect("the agent serves");
    stream.wait_for(WORKLOAD, EVENT_MAX).await.expect("an SVID")
}

#[tokio::test]
async fn persisted_svids_are_served_while_the_servers_are_away() {
    let mut world = World::new().await;
    let mut agent = world.agent(world.node(), &LINES).await;
    world.create_entry().await;
    identity(&agent).await;
    let before = served(&agent).await;
    agent.stop().await.expect("it stops");
    let file = agent.data_dir().join("agent-svids.sealed");
    let sealed = std::fs::read(&file).expect("a file");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let key = &before.svids[0].x509_svid_key;
    assert!(!sealed.windows(key.len()).any(|part| part == key), "the key is sealed");

    world.server.stop().await.expect("it stops");
    agent.restart(&world.binaries).expect("it starts");
    agent.ready().await.expect("it serves without a server");
    assert_eq!(served(&agent).await, before, "the same SVID, key and bundle");

    // A server that comes back is asked for what is new, and for nothing that is there.
    world.server.launch().expect("it starts");
    world.server.ready().await.expect("it is ready");
    let id = world.agent_id().await;
    world.create_entry_named(&id, "/new").await;
    let mut stream = WorkloadStream::open(&agent.socket()).await.expect("the agent serves");
    let update = stream.wait_for("spiffe://example.org/new", EVENT_MAX).await.expect("another SVID");
    let kept = update.svids.iter().find(|svid| svid.spiffe_id == WORKLOAD);
    assert_eq!(kept, Some(&before.svids[0]), "it was not issued again");

    // What somebody altered is not used.
    agent.stop().await.expect("it stops");
    let mut altered = std::fs::read(&file).expect("a file");
    *altered.last_mut().expect("content") ^= 1;
    std::fs::write(&file, altered).expect("it is written");
    agent.restart(&world.binaries).expect("it starts");
    agent.ready().await.expect("a server answers");
    says(&agent, "Persisted SVIDs cannot be used; starting without them").await;
    identity(&agent).await;
    assert_ne!(served(&agent).await.svids[0].x509_svid, before.svids[0].x509_svid, "issued anew");

    // An agent that is banned leaves nothing behind.
    world.ban(&id).await;
    says(&agent, "Agent is banned: removing SVID and shutting down").await;
    let _ = tokio::time::timeout(EVENT_MAX, agent.process_mut().exited()).await.expect("it ends");
    assert!(!file.exists(), "what it served goes with it");
}
