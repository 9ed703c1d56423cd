//! The release before beside this one: a cluster is upgraded while it serves, replica by replica.

use std::path::PathBuf;
use std::time::Duration;

use steeple_state::CLUSTER_VERSION_MAX;
use steeple_testkit::{Binaries, Cluster, older_server, until};

use crate::site::{Site, binaries, create, entries, refused, run, spec, text};

/// A few elections and attempts on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(90);

async fn cluster_version(cluster: &Cluster, position: usize) -> u32 {
    cluster.servers[position].admin().status().await.expect("a status").cluster_version
}

async fn replace(cluster: &mut Cluster, position: usize, binaries: &Binaries) {
    cluster.servers[position].stop().await.expect("it stops in order");
    cluster.servers[position].launch_as(binaries, &[]).expect("it starts");
    cluster.servers[position].ready().await.expect("it belongs to the cluster again");
}

#[tokio::test]
async fn a_cluster_of_the_release_before_is_upgraded_while_it_serves() {
    let Some(server) = older_server() else { return };
    let older = Binaries { server, agent: PathBuf::new() };
    let site = Site::new();
    let mut cluster = Cluster::start(&older, site.scratch.path(), 3, &spec("")).await.expect("the release before");
    create(&cluster.servers[0], "a-before").await;
    let before = cluster_version(&cluster, 0).await;
    assert!(before < CLUSTER_VERSION_MAX, "the release before knows all that this one does");

    let socket = |cluster: &Cluster, position: usize| cluster.servers[position].admin_socket();
    for position in 0..3 {
        replace(&mut cluster, position, &binaries()).await;
        for (writer, id) in [(position, "ours"), ((position + 1) % 3, "other")] {
            create(&cluster.servers[writer], &format!("b-{position}-{id}")).await;
        }
        // Equal hashes at equal indexes, whoever leads.
        cluster.converged().await.expect("one state");
        let told = refused(&["seal", "new-key", "-socketPath", text(&socket(&cluster, position))]).await;
        assert!(told.contains("cluster finalize"), "{told}");
        assert_eq!(cluster_version(&cluster, position).await, before);
    }

    // Until it is finalized, the way back is open, and who went it holds the rest up.
    replace(&mut cluster, 2, &older).await;
    create(&cluster.servers[2], "c-back").await;
    cluster.converged().await.expect("one state");
    let held_back = run(&["cluster", "finalize", "-socketPath", text(&socket(&cluster, 0))]).await;
    assert!(held_back.text.contains("upgrade it and repeat"), "{}", held_back.text);
    assert_eq!(cluster_version(&cluster, 0).await, before);
    replace(&mut cluster, 2, &binaries()).await;

    until("it is finalized", STEP_MAX, async || {
        let said = run(&["cluster", "finalize", "-socketPath", text(&socket(&cluster, 1))]).await;
        match cluster_version(&cluster, 1).await {
            CLUSTER_VERSION_MAX => Ok(()),
            version => Err(format!("{version}: {}", said.text)),
        }
    })
    .await
    .expect("every replica is upgraded");
    let said = run(&["seal", "new-key", "-socketPath", text(&socket(&cluster, 1))]).await;
    assert!(said.ok, "{}", said.text);
    create(&cluster.servers[1], "d-after").await;
    cluster.converged().await.expect("one state");

    // Now it is closed: what is in the log could not be read.
    cluster.servers[2].stop().await.expect("it stops");
    cluster.servers[2].launch_as(&older, &[]).expect("it starts");
    let told = format!("{:#}", cluster.servers[2].ready().await.expect_err("of the release before"));
    assert!(told.contains("upgrade it"), "{told}");
    cluster.servers[2].launch_as(&binaries(), &[]).expect("it starts");
    cluster.servers[2].ready().await.expect("nothing was harmed");
    cluster.converged().await.expect("one state");
    assert_eq!(entries(&cluster.servers[2]).await.len(), 9);
}
