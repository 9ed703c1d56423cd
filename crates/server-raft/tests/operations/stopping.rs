//! The orderly end of a replica that has calls under way.

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steeple_api::server::svid::MintJwtsvidRequest;
use steeple_api::types;
use steeple_testkit::{Admin, workload_entry};
use steeple_transport::client::is_unprocessed;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::Status;

use crate::site::Site;

/// Clients that call without a pause.
const CLIENTS: usize = 8;
/// As long as it waits for its last calls, then for what is left: the orderly end is well before either.
const SOON: Duration = Duration::from_secs(3);

async fn writes(admin: &Admin, name: &str) -> anyhow::Result<()> {
    let parent = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/parent".to_owned() };
    let selector = types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() };
    admin.create_entry(workload_entry("", &parent, &format!("/{name}"), vec![selector])).await.map(drop)
}

async fn mints(admin: &Admin) -> anyhow::Result<()> {
    let id = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/w".to_owned() };
    let request = MintJwtsvidRequest { id: Some(id), audience: vec!["a".to_owned()], ttl: 60 };
    admin.svids().mint_jwtsvid(request).await?;
    Ok(())
}

/// Calls until one fails, and returns why.
async fn call_on(client: usize, admin: Admin, works: Arc<Barrier>) -> anyhow::Error {
    for number in 0.. {
        let called = if client.is_multiple_of(2) {
            writes(&admin, &format!("{client}/{number}")).await
        } else {
            mints(&admin).await
        };
        if let Err(error) = called {
            return error;
        }
        if number == 0 {
            works.wait().await;
        }
    }
    unreachable!("a server that has ended answers nobody")
}

#[tokio::test]
async fn a_leader_that_stops_answers_its_last_calls_through_the_next_one() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    let leader = cluster.leader().await.expect("a leader");
    let works = Arc::new(Barrier::new(CLIENTS + 1));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let admin = Admin::at(&cluster.servers[leader].admin_socket());
        clients.spawn(call_on(client, admin, Arc::clone(&works)));
    }
    works.wait().await;
    let began = Instant::now();
    cluster.servers[leader].stop().await.expect("an orderly end");
    let took = began.elapsed();
    assert!(took < SOON, "it took {took:?} to end");
    while let Some(failed) = clients.join_next().await {
        let failed = failed.expect("no panic");
        let status = failed.downcast_ref::<Status>().expect("a status");
        // Nothing that the server said: it was not there any more, or on its way.
        assert!(is_unprocessed(status) || is_refused(status), "{status:?}");
    }
    cluster.stop().await.expect("an orderly end");
}

/// Nobody listens at the socket.
fn is_refused(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::ConnectionRefused | ErrorKind::NotFound)) {
            return true;
        }
        cause = error.source();
    }
    false
}
