//! A replica whose rows were altered on its disk while it was stopped.

use std::path::Path;
use std::time::Duration;

use steeple_state::Table;
use steeple_storage::{Batch, Options, Storage};
use steeple_testkit::{Binaries, ClusterRole, ExtraLines, Server, ServerSpec, probe, until};
use tokio::net::TcpStream;

use crate::bench::{Bench, assert_says, assert_unharmed, create, entries, health_on, relaunch, spec};
use crate::join::until_members;

/// A checkpoint is due a few seconds after a member came back.
const FOUND_MAX: Duration = Duration::from_secs(90);
const WHY: &str = "differs from that of a quorum";
const NEXT: &str = "start it again on an empty one, with cluster.join naming the other replicas";

/// Takes an entry out, as a defect would: the row is gone, and everything else is well-formed.
fn lose_an_entry(data_dir: &Path) {
    let storage = Storage::open(data_dir, Options::default()).expect("a store");
    let rows = storage.kv();
    let table = Table::Entries.number();
    let view = rows.view().expect("its rows");
    let entry = view.rows().map(|row| row.expect("a row")).find(|row| row.table == table).expect("an entry");
    let mut batch = Batch::new();
    batch.delete(table, &entry.key).expect("a row");
    drop(view);
    rows.write(batch).expect("written");
}

/// Waits until `/ready` says why, while `/live` sees no reason to start the process again.
async fn until_fenced(server: &Server, port: u16) {
    let said = until("the probe says so", FOUND_MAX, async || {
        match (probe(port, "/live").await, probe(port, "/ready").await) {
            (Some((200, _)), Some((500, text))) if text.contains(WHY) => Ok(text),
            other => Err(format!("{other:?}")),
        }
    });
    let said = said.await.map_err(|error| server.failure(&format!("{error:#}"))).expect("what a prober hears");
    assert_says(&said, &[NEXT]);
}

#[tokio::test]
async fn a_replica_whose_rows_were_altered_serves_nothing_and_spares_the_others() {
    let bench = Bench::new();
    let binaries = Binaries { server: env!("CARGO_BIN_EXE_steeple-server").into(), agent: std::path::PathBuf::new() };
    let role = |join| Some(ClusterRole { join, sealing_key_path: bench.scratch.join("cluster.key") });
    let mut founder = bench.launch(&ServerSpec { cluster: role(Vec::new()), ..spec("founder") });
    founder.ready().await.expect("the founder becomes ready");
    create(&founder, "one").await;
    create(&founder, "two").await;
    let mut second = bench.launch(&ServerSpec { cluster: role(vec![founder.peer_address()]), ..spec("second") });
    second.ready().await.expect("it joins");
    let port = bench.port();
    let probed = ExtraLines { top: health_on(port), ..ExtraLines::default() };
    let third = ServerSpec { cluster: role(vec![founder.peer_address()]), ..spec("third") };
    let mut third = Server::start_with(&binaries, bench.scratch.path(), &third, &probed).expect("it starts");
    third.ready().await.expect("it joins");
    until_members(&founder, 3).await;

    third.stop().await.expect("it stops");
    lose_an_entry(&third.data_dir());
    third.launch().expect("it starts");
    until_fenced(&third, port).await;
    let closed =
        until("the API port closes", FOUND_MAX, async || match TcpStream::connect(third.api_address()).await {
            Ok(_) => Err("it is open"),
            Err(_) => Ok(()),
        });
    closed.await.expect("agents go elsewhere");
    let status = third.admin().status().await.expect("an operator is answered");
    assert_says(&status.stopped, &[WHY, NEXT]);
    assert_ne!(status.leader_id, status.node_id);
    third.admin().create_entry(crate::bench::entry("lost")).await.expect_err("it takes no writes");
    let list = third.admin().entries().list_entries(steeple_api::server::entry::ListEntriesRequest::default()).await;
    assert_says(list.expect_err("it shows nothing").message(), &[WHY]);

    // The majority saw it and goes on.
    let seen = until("the others see it", FOUND_MAX, async || {
        let status = founder.admin().status().await.map_err(|status| status.to_string())?;
        if status.differing == 1 && status.stopped.is_empty() { Ok(()) } else { Err(format!("{status:?}")) }
    });
    seen.await.expect("seen");
    create(&second, "three").await;
    assert_eq!(entries(&founder).await, ["one", "three", "two"]);

    // Its directory remembers, although there is nobody to compare with now.
    for server in [&mut third, &mut second, &mut founder] {
        server.kill9().await.expect("it ends");
    }
    third.launch().expect("it starts");
    until_fenced(&third, port).await;

    // As it said: on an empty directory it is a member like any other.
    third.kill9().await.expect("it ends");
    std::fs::remove_dir_all(third.data_dir()).expect("it is there");
    founder.launch().expect("it starts");
    relaunch(&mut second).await;
    relaunch(&mut third).await;
    assert_unharmed(&third, &["one", "three", "two"]).await;
}
