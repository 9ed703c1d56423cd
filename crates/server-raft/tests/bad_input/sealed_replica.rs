//! One of three replicas has the wrong sealing key: it votes and follows, never leads, and is whole again with the
//! right one.

use std::path::Path;

use base64::Engine as _;
use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::steeple::server::TransferLeaderRequest;
use steeple_testkit::{Cluster, probe, until};
use tokio::net::TcpStream;
use tonic::Code;

use crate::bench::{Bench, READY_AGAIN_MAX, assert_says, create, entries, health_on, private, until_probe_says};
use crate::replica_away::{lines, three};

/// Moves the sealing key of `position` to a file of its own and opens a port for its probes. The replica is stopped.
fn reconfigure(bench: &Bench, cluster: &Cluster, position: usize, key: &Path, health: u16) {
    let path = bench.config_of(&cluster.servers[position]);
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let common = bench.scratch.join("sealing-key").display().to_string();
    assert!(text.contains(&common), "{text}");
    let text = text.replace(&common, &key.display().to_string()) + &health_on(health);
    std::fs::write(path, text).expect("a configuration");
}

/// How often the replica has led so far.
fn led(cluster: &Cluster, position: usize) -> usize {
    lines(cluster, position, "is_leader=true").len()
}

async fn hand_over(cluster: &Cluster, to: usize) -> Result<(), Code> {
    let node_id = cluster.servers[to].admin().status().await.expect("a status").node_id;
    let leader = cluster.leader().await.expect("a leader");
    let mut admin = cluster.servers[leader].admin().cluster();
    admin.transfer_leader(TransferLeaderRequest { node_id }).await.map(drop).map_err(|status| status.code())
}

#[tokio::test]
async fn a_replica_with_another_key_votes_follows_and_never_leads() {
    let bench = Bench::new();
    let mut cluster = three(&bench).await;
    let sealed = cluster.follower().await.expect("a follower");
    let (key, health) = (bench.scratch.join("its-own-key"), bench.port());
    let right = std::fs::read_to_string(bench.scratch.join("sealing-key")).expect("a key");
    let wrong = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    private(&key, &format!("steeple-sealing-key-v1:{wrong}\n"));
    cluster.servers[sealed].stop().await.expect("it stops");
    reconfigure(&bench, &cluster, sealed, &key, health);
    let led_before = led(&cluster, sealed);
    cluster.servers[sealed].launch().expect("it starts");

    let next_step = "give this server the sealing key file of the cluster";
    until_probe_says(health, &["the server is sealed", &key.display().to_string(), next_step]).await;
    assert_eq!(probe(health, "/live").await.map(|(status, _)| status), Some(200));
    let leader = cluster.leader().await.expect("a leader");
    create(&cluster.servers[leader], "while-sealed").await;
    cluster.caught_up(sealed).await.expect("it follows");

    // What needs no key is answered; what needs one, or the leader, is for another replica to do.
    let asked = &cluster.servers[sealed];
    let refused = asked.admin().entries().list_entries(ListEntriesRequest::default()).await.expect_err("it is sealed");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_says(refused.message(), &["the server is sealed", next_step]);
    let mut turned_away = TcpStream::connect(asked.api_address()).await.expect("the port is bound");
    let closed = tokio::io::AsyncReadExt::read_u8(&mut turned_away).await;
    assert!(closed.is_err(), "an agent goes elsewhere at once");

    until("the leader knows that it is sealed", READY_AGAIN_MAX, async || {
        let node_id = asked.admin().status().await.map_err(|status| status.to_string())?.node_id;
        let leader = cluster.leader().await.map_err(|error| error.to_string())?;
        let members = cluster.servers[leader].admin().status().await.map_err(|status| status.to_string())?.members;
        if members.iter().any(|member| member.node_id == node_id && member.sealed) {
            Ok(())
        } else {
            Err("no".to_owned())
        }
    })
    .await
    .expect("it is told");
    assert_eq!(hand_over(&cluster, sealed).await, Err(Code::FailedPrecondition));
    // It can ask nobody, and knows all the same who leads and who is there.
    until("the sealed one knows the leader", READY_AGAIN_MAX, async || {
        let status = asked.admin().status().await.map_err(|status| status.to_string())?;
        let voters = status.members.iter().filter(|member| member.voter && member.reachable).count();
        if status.leader_id != 0 && voters == 3 { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await
    .expect("it knows");
    let leader = cluster.leader().await.expect("a leader");
    let status = cluster.servers[leader].admin().status().await.expect("a status");
    assert_eq!(status.failure_tolerance, 1, "two can lead");
    // Two of three are a quorum only with its vote.
    let leader = cluster.leader().await.expect("a leader");
    cluster.servers[leader].kill9().await.expect("it ends");
    let third = cluster.leader().await.expect("the sealed one votes for another");
    assert_ne!(third, sealed);
    create(&cluster.servers[third], "with-its-vote").await;
    cluster.servers[leader].launch().expect("it starts");
    cluster.servers[leader].ready().await.expect("it becomes ready");
    assert_eq!(led(&cluster, sealed), led_before);

    private(&key, &right);
    cluster.servers[sealed].ready().await.expect("it is unsealed by itself");
    until("it is ready", READY_AGAIN_MAX, async || match probe(health, "/ready").await {
        Some((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
    .expect("it is ready");
    until("it leads", READY_AGAIN_MAX, async || {
        hand_over(&cluster, sealed).await?;
        if led(&cluster, sealed) > led_before { Ok(()) } else { Err(Code::Unknown) }
    })
    .await
    .expect("it may lead now");
    assert_eq!(entries(&cluster.servers[sealed]).await, ["while-sealed", "with-its-vote"]);
    cluster.converged().await.expect("one state");
}
