//! A member that refuses connections.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};

use crate::site::{Site, create};

/// For so long it is counted who comes.
const WATCHED: Duration = Duration::from_secs(3);
/// Heartbeats, pings and replication, each a few times a second.
const CALLS_MAX: u32 = 40 * WATCHED.as_secs() as u32;

#[tokio::test]
async fn a_member_that_refuses_is_not_dialled_in_a_loop() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    let dead = cluster.follower().await.expect("a follower");
    let leader = cluster.leader().await.expect("a leader");
    let address = cluster.servers[dead].peer_address();
    cluster.servers[dead].kill9().await.expect("it ends");
    create(&cluster.servers[leader], "unsent").await;
    let listener = TcpListener::bind(&address).await.expect("its port is free");
    let (end, mut calls) = (Instant::now() + WATCHED, 0);
    while let Ok(called) = timeout_at(end, listener.accept()).await {
        // Closed at once.
        drop(called.expect("a connection"));
        calls += 1;
    }
    assert!((1..=CALLS_MAX).contains(&calls), "{calls} connections in {WATCHED:?}");
    drop(listener);
    cluster.servers[dead].launch().expect("it starts");
    cluster.caught_up(dead).await.expect("it follows");
    cluster.stop().await.expect("an orderly end");
}
