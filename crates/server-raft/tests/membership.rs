//! What changes who votes, and what the cluster may do: in one process, with the leader's own errors.

mod support;

use std::time::Duration;

use steeple_core::JoinToken;
use steeple_server_raft::raft::{Change, CleanUp, Finalized, MembershipError, Replica, StartError};
use steeple_state::{
    CLUSTER_VERSION_FIRST, CLUSTER_VERSION_MAX, CLUSTER_VERSION_TOKEN_DIGESTS, CommandKind, Outcome, join_token_digest,
};
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
async fn a_token_is_named_by_its_digest_once_the_cluster_is_finalized() {
    let cluster = Cluster::default();
    let mut server = cluster.server("a", &[]).await.expect("it starts");
    server.kill().await;
    rewrite_version(server.directory.path(), Some(CLUSTER_VERSION_TOKEN_DIGESTS as u8 - 1));
    cluster.restart(&mut server).await;
    server.until(|replica| replica.leadership().borrow().is_leader).await;

    let replica = server.replica();
    let create = async |value: &str| {
        let token = JoinToken { value: value.to_owned(), expires_at: i64::MAX / 1000 };
        replica.propose(CommandKind::CreateJoinToken { token, alias: None }, origin()).await.expect("a leader")
    };
    let held = |value: &str| replica.state().read().join_token(value).map(|token| token.value);
    assert_eq!(create("before").await, Outcome::Done);
    assert_eq!(held("before").as_deref(), Some("before"), "as every member may read it");
    replica.finalize(Instant::now() + PATIENCE).await.expect("it is raised");
    assert_eq!(create("after").await, Outcome::Done);
    let digest = join_token_digest(replica.state().read().trust_domain().expect("a cluster"), "after");
    assert_eq!(held("after"), Some(digest));
    assert_eq!(held("before").as_deref(), Some("before"), "it can be used yet");
    assert!(matches!(create("before").await, Outcome::Rejected(_)), "there is one of it");
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
