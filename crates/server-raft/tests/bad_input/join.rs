//! Servers that may not join.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use steeple_testkit::{ClusterRole, Port, Server, ServerSpec};

use crate::bench::{Bench, assert_says, assert_unharmed, create, spec};

/// A cluster of one that others could join.
async fn founder(bench: &Bench) -> Server {
    let role = ClusterRole { join: Vec::new(), sealing_key_path: bench.scratch.join("cluster.key") };
    let mut server = bench.launch(&ServerSpec { cluster: Some(role), ..spec("founder") });
    server.ready().await.expect("the founder becomes ready");
    create(&server, "kept").await;
    server
}

/// A `cluster` section that asks `founder`.
fn joiner(founder: &Server, key: &Path) -> String {
    format!(
        " cluster {{ name = \"joiner\" peer_bind_address = \"127.0.0.1\" peer_bind_port = {} join = [\"{}\"] \
         sealing_key_path = \"{}\" }}",
        Port::reserve().expect("a free port").number(),
        founder.peer_address(),
        key.display()
    )
}

async fn members(server: &Server) -> usize {
    server.admin().status().await.expect("a status").members.len()
}

#[tokio::test]
async fn a_joiner_without_the_key_names_the_file() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let key = bench.scratch.join("nowhere.key");
    let text = bench.refused(&bench.config("joiner", &joiner(&founder, &key)), &[]).await;
    let next = "copy the file of that name from a running replica";
    assert_says(&text, &[&format!("no sealing key at {}", key.display()), next, "only the node that founds"]);
    assert!(!key.exists());
    assert_eq!(members(&founder).await, 1);
    assert_unharmed(&founder, &["kept"]).await;
}

#[tokio::test]
async fn a_joiner_with_another_key_is_refused_and_not_admitted() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let mut other = bench.server("other").await;
    other.stop().await.expect("it stops");
    let key = bench.scratch.join("another.key");
    std::fs::copy(bench.scratch.join("other/data.sealing-key"), &key).expect("a key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("a mode");
    let text = bench.refused(&bench.config("joiner", &joiner(&founder, &key)), &[]).await;
    let reason = format!("{} does not prove that it holds the same sealing key", founder.peer_address());
    assert_says(&text, &[&reason, "copy the cluster's sealing key file to this server"]);
    assert_eq!(members(&founder).await, 1);
    assert_unharmed(&founder, &["kept"]).await;
}

#[tokio::test]
async fn a_joiner_of_another_trust_domain_is_refused() {
    let bench = Bench::new();
    let founder = founder(&bench).await;
    let config = bench.config("joiner", &joiner(&founder, &bench.scratch.join("cluster.key")));
    let text = bench.refused(&config, &["-trustDomain", "other.test"]).await;
    assert_says(&text, &["this cluster serves trust domain example.org", "configured for other.test"]);
    assert_eq!(members(&founder).await, 1);
    assert_unharmed(&founder, &["kept"]).await;
}

#[tokio::test]
async fn a_config_that_founds_and_joins_is_refused() {
    let bench = Bench::new();
    let lines = " cluster { bootstrap = true join = [\"127.0.0.1:1\"] }";
    let text = bench.refused(&bench.config("both", lines), &[]).await;
    assert_says(&text, &["cluster.bootstrap = true is not safe: set it on one node only"]);
    assert!(!bench.scratch.join("both/data").exists());
}
