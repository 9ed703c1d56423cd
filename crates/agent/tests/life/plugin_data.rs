//! `plugin_data_file`, read again at SIGUSR1, on both programs.

use std::path::Path;

use steeple_api::types::Selector;
use steeple_testkit::{ExtraLines, NodeCertificateAuthority, WorkloadStream};

use super::*;

const SEEN: &str = "spiffe://example.org/seen";
const REPLACED: &str = "msg=\"Plugin reconfigured\"";
const UNCHANGED: &str = "msg=\"Plugin not reconfigured since the config is unchanged\"";
const REFUSED: &str = "msg=\"Failed to reconfigure plugin\"";

pub fn has_read_again(pid: i32) {
    let sent = std::process::Command::new("kill").args(["-USR1", &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

/// The line of the log, once it is there.
pub async fn logs(log: &Path, part: &str) -> String {
    let found = until(part, EVENT_MAX, async || {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log.lines().rev().find(|line| line.contains(part)).map(str::to_owned).ok_or(log)
    });
    found.await.expect("it says so")
}

#[tokio::test]
async fn a_server_reads_the_data_files_of_its_plugins_again() {
    let scratch = Scratch::new().expect("a directory");
    let data = scratch.join("x509pop.conf");
    let trusts = |authority: &NodeCertificateAuthority| {
        std::fs::write(&data, format!("ca_bundle_path = {:?}\n", authority.root_path())).expect("a file");
    };
    let (here, elsewhere) = (scratch.join("nodes"), scratch.join("other-nodes"));
    let authority = |dir: &Path| NodeCertificateAuthority::open(dir).expect("a root");
    let (nodes, others) = (authority(&here), authority(&elsewhere));
    trusts(&others);

    let plugins = format!("NodeAttestor \"x509pop\" {{ plugin_data_file = {:?} }}", data.display().to_string());
    let extra = ExtraLines { plugins, ..ExtraLines::default() };
    let spec = ServerSpec {
        name: "server".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "debug".to_owned(),
        env: Vec::new(),
    };
    let binaries = Binaries::find().expect("the programs");
    let server = Server::start_with(&binaries, scratch.path(), &spec, &extra).expect("the server starts");
    let mut world = World { scratch, binaries, server, nodes };
    world.server.ready().await.expect("the server becomes ready");
    world.write_bundle().await;
    let (log, pid) = (world.server.log(), world.server.process().expect("it runs").pid());

    let mut agent = world.start(world.node(), &[]);
    let ended = tokio::time::timeout(EVENT_MAX, agent.process_mut().exited()).await.expect("it is turned away");
    assert!(!ended.expect("a status").success());

    has_read_again(pid);
    let line = logs(&log, UNCHANGED).await;
    assert!(line.contains("plugin_name=x509pop plugin_type=NodeAttestor"), "{line}");
    trusts(&world.nodes);
    has_read_again(pid);
    let line = logs(&log, REPLACED).await;
    assert!(line.contains("old_hash=") && line.contains("new_hash="), "{line}");
    agent.restart(&world.binaries).expect("the agent starts");
    agent.ready().await.expect("the agent attests");
    agent.stop().await.expect("an orderly end");

    std::fs::write(&data, "ca_bundle_pth = \"x\"\n").expect("a file");
    has_read_again(pid);
    let line = logs(&log, REFUSED).await;
    assert!(line.contains("ca_bundle_path"), "{line}");
    std::fs::remove_dir_all(agent.data_dir()).expect("its SVID and keys");
    agent.restart(&world.binaries).expect("the agent starts");
    agent.ready().await.expect("the agent attests by what the plugin had");
    agent.stop().await.expect("an orderly end");
    world.server.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_agent_reads_the_data_files_of_its_plugins_again() {
    let world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    agent.stop().await.expect("an orderly end");
    let data = world.scratch.join("unix.conf");
    let configure = |text: &str| std::fs::write(&data, text).expect("a file");
    let config = world.scratch.join("agent").join("agent.conf");
    let text = std::fs::read_to_string(&config).expect("a file");
    // What was the data of `unix` becomes that of `systemd`, which has no settings either.
    let from_file = format!(
        "WorkloadAttestor \"unix\" {{ plugin_data_file = {:?} }}\nWorkloadAttestor \"systemd\"",
        data.display().to_string()
    );
    std::fs::write(&config, text.replace("WorkloadAttestor \"unix\"", &from_file)).expect("a file");
    configure("discover_workload_path = false\n");
    agent.restart(&world.binaries).expect("the agent starts");
    agent.ready().await.expect("the agent comes back");

    let program = std::env::current_exe().expect("this test").display().to_string();
    let by_path = Selector { r#type: "unix".to_owned(), value: format!("path:{program}") };
    let parent = world.agent_id().await;
    let entry = workload_entry("", &parent, "/w", vec![by_path]);
    world.server.admin().create_entry(entry).await.expect("an entry");
    world.create_entry_named(&parent, "/seen").await;
    let sees = async |id: &str| {
        let seen = until("an identity", EVENT_MAX, async || {
            let mut stream = WorkloadStream::open(&agent.socket()).await?;
            stream.wait_for(id, EVENT_MAX).await
        });
        seen.await.expect("an SVID")
    };
    let ids = |update: steeple_api::workload::X509svidResponse| {
        update.svids.into_iter().map(|svid| svid.spiffe_id).collect::<BTreeSet<_>>()
    };
    // The agent has known both entries since it knows the later one.
    assert_eq!(ids(sees(SEEN).await), BTreeSet::from([SEEN.to_owned()]));

    let (log, pid) = (world.scratch.join("agent").join("log"), agent.process().pid());
    configure("discover_workload_path = true\n");
    has_read_again(pid);
    logs(&log, REPLACED).await;
    assert_eq!(ids(sees(SEEN).await), BTreeSet::from([SEEN.to_owned(), WORKLOAD.to_owned()]));

    configure("discover_workload_path = \n");
    has_read_again(pid);
    let line = logs(&log, REFUSED).await;
    assert!(line.contains("plugin_name=unix plugin_type=WorkloadAttestor"), "{line}");
    assert!(ids(sees(SEEN).await).contains(WORKLOAD), "it goes on with what it had");
    agent.stop().await.expect("an orderly end");
}
