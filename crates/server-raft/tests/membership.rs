//! What changes who votes, and what the cluster may do: in one process, with the leader's own errors.

mod support;

use std::time::Duration;

use steeple_server_raft::raft::{Change, CleanUp, Finalized, MembershipError, Replica, StartError};
use steeple_state::{CLUSTER_VERSION_FIRST, CLUSTER_VERSION_MAX};
use support::*;
use tokio::time::Instant;

fn cluster_version(replica: &Replica) -> u32 {
    replica.state().read().cluster_version()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgraded_cluster_gets_what_is_new_when_it_is_finalized() {
    let cluster = Cluster::default();
    let mut server = cluster.server("a", &[]).await.expect("it starts");
    assert_eq!(cluster_version(server.replica()), CLUSTER_VERSION_MAX, "a new cluster has nothing to wait for");
    server.kill().await;
    rewrite_version(server.directory.path(), None);
    cluster.restart(&mut server).await;
    server.until(|replica| replica.leadership().borrow().is_leader).await;

    let until = || Instant::now() + PATIENCE;
    let replica = server.replica();
    let refused = Err(MembershipError::NotFinalized { needs: 2, has: CLUSTER_VERSION_FIRST });
    assert_eq!(replica.change_membership(Change::SetTarget(1), until()).await, refused);
    let finalized = Finalized { version: CLUSTER_VERSION_MAX, held_back_by: Vec::new() };
    for _ in 0..2 {
        assert_eq!(replica.finalize(until()).await, Ok(finalized.clone()));
    }
    assert_eq!(cluster_version(replica), CLUSTER_VERSION_MAX);
    replica.change_membership(Change::SetTarget(1), until()).await.expect("now it may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_cannot_follow_does_not_start() {
    let cluster = Cluster::default();
    let mut server = cluster.server("a", &[]).await.expect("it starts");
    server.kill().await;
    rewrite_version(server.directory.path(), Some(CLUSTER_VERSION_MAX as u8 + 1));
    let refused = cluster.start_again(&mut server).await.expect_err("of a newer release");
    assert!(matches!(&refused, StartError::State(why) if why.contains("upgrade it")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_server_is_cleaned_up_and_one_that_answers_is_not() {
    let mut cluster = Cluster::steady();
    cluster.clean_up = Some(CleanUp { after: Duration::from_secs(3), voters_min: 3 });
    let mut servers = cluster.servers(&["a", "b", "c", "d"]).await;
    let leading = leader(&servers).await;
    let dead = (leading + 1) % 4;
    let dead_id = servers[dead].replica().node_id();
    servers[dead].kill().await;
    let has_left = |replica: &Replica| replica.status().members.iter().all(|member| member.node_id != dead_id);
    servers[leading].until(|replica| has_left(replica) && has_voters(replica, 3)).await;
    servers[leading].write("undisturbed").await.expect("written");
}
