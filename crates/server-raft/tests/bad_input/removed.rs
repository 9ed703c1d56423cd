//! Members that are taken out of their cluster.

use std::time::Duration;

use steeple_api::steeple::server::RemoveRequest;
use steeple_testkit::{Binaries, ClusterRole, ExtraLines, Server, ServerSpec, probe, until};

use crate::bench::{Bench, assert_says, assert_unharmed, create, health_on, relaunch, spec};
use crate::join::until_members;

/// A removal goes through three changes of the membership; then a second passes before it is heard of.
const HEARD_MAX: Duration = Duration::from_secs(90);
const REMOVED: i32 = 3;
const NEXT: &str = "move the data directory away and start again, with cluster.join naming the other replicas";

async fn node_id(server: &Server) -> u64 {
    server.admin().status().await.expect("a status").node_id
}

async fn remove(through: &Server, node_id: u64) {
    // An election in between, on a busy machine, is no failure; it may come after the removal.
    let removed = until("it is removed", HEARD_MAX, async || {
        let told = through.admin().cluster().remove(RemoveRequest { node_id }).await;
        let members = through.admin().status().await.map_err(|status| status.to_string())?.members;
        match members.iter().any(|member| member.node_id == node_id) {
            true => Err(format!("{told:?}, and it is a member still")),
            false => Ok(()),
        }
    });
    removed.await.expect("removed");
}

/// Waits until the process ends by itself, which says why.
async fn assert_ends_as_removed(server: &mut Server, node_id: u64) {
    let process = server.process_mut().expect("it runs");
    let ended = tokio::time::timeout(HEARD_MAX, process.exited()).await;
    let text = process.tail();
    assert_eq!(ended.expect("it ends by itself").expect("a status").code(), Some(REMOVED), "{text}");
    assert_says(&text, &[&format!("node {node_id} was removed from the cluster"), NEXT, "data directory "]);
}

#[tokio::test]
async fn a_removed_member_stops_serving_says_so_and_ends() {
    let bench = Bench::new();
    let binaries = Binaries { server: env!("CARGO_BIN_EXE_steeple-server").into(), agent: std::path::PathBuf::new() };
    let role = |join| Some(ClusterRole { join, sealing_key_path: bench.scratch.join("cluster.key") });
    let mut founder = bench.launch(&ServerSpec { cluster: role(Vec::new()), ..spec("founder") });
    founder.ready().await.expect("the founder becomes ready");
    create(&founder, "kept").await;
    let mut away = bench.launch(&ServerSpec { cluster: role(vec![founder.peer_address()]), ..spec("away") });
    away.ready().await.expect("it joins");
    let port = bench.port();
    let probed = ExtraLines { top: health_on(port), ..ExtraLines::default() };
    let present = ServerSpec { cluster: role(vec![founder.peer_address()]), ..spec("present") };
    let mut present = Server::start_with(&binaries, bench.scratch.path(), &present, &probed).expect("it starts");
    present.ready().await.expect("it joins");
    // A member that goes away in the middle of a promotion can take the quorum of the old voters along.
    until_members(&founder, 3).await;
    let (id_away, id_present) = (node_id(&away).await, node_id(&present).await);

    // One is removed while it is down, and hears of it when it comes back with its old directory.
    away.kill9().await.expect("it ends");
    remove(&founder, id_away).await;
    away.launch().expect("it starts");
    assert_ends_as_removed(&mut away, id_away).await;

    // The other one runs.
    remove(&founder, id_present).await;
    let said = until("the probes say so", HEARD_MAX, async || {
        let (live, ready) = (probe(port, "/live").await, probe(port, "/ready").await);
        match (&live, &ready) {
            (Some((500, live)), Some((500, ready))) => Ok([live.clone(), ready.clone()]),
            _ => Err(format!("{live:?} {ready:?}")),
        }
    });
    for text in said.await.expect("what a prober hears") {
        assert_says(&text, &[&format!("node {id_present} was removed from the cluster"), NEXT]);
    }
    present.admin().create_entry(crate::bench::entry("lost")).await.expect_err("it serves no more");
    assert_ends_as_removed(&mut present, id_present).await;
    assert_unharmed(&founder, &["kept"]).await;

    // As the error says: without its directory it joins as a new node.
    std::fs::remove_dir_all(present.data_dir()).expect("it is there");
    relaunch(&mut present).await;
    assert!(node_id(&present).await > id_present);
}
