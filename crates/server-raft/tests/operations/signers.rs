//! `cluster { signing = "replicas" }`.

use steeple_api::server::svid::MintJwtsvidRequest;
use steeple_api::types;
use steeple_testkit::{Cluster, ExtraLines, Port, Server, probe, until};
use tonic::{Code, Request, Status};

use crate::site::Site;

/// Longer than the server tries.
const CALL: std::time::Duration = std::time::Duration::from_secs(20);

async fn mint(server: &Server) -> Result<types::Jwtsvid, Status> {
    let id = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/w".to_owned() };
    let mut request = Request::new(MintJwtsvidRequest { id: Some(id), audience: vec!["a".to_owned()], ttl: 60 });
    request.set_timeout(CALL);
    let minted = server.admin().svids().mint_jwtsvid(request).await?.into_inner();
    minted.svid.ok_or_else(|| Status::internal("no token"))
}

/// JWT-SVIDs that the replica behind `port` signed.
async fn signed(port: &Port) -> u64 {
    let (_, text) = probe(port.number(), "/metrics").await.expect("metrics");
    let line = text.lines().find(|line| line.starts_with("spire_server_server_ca_sign_jwt_svid")).expect("a counter");
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

#[tokio::test]
async fn each_voter_signs_what_it_is_asked_for_and_nobody_without_a_quorum() {
    let site = Site::new();
    let (mut cluster, mut ports) = (Cluster { servers: Vec::new() }, Vec::new());
    for _ in 1..=3 {
        let port = Port::reserve().expect("a port");
        let extra = ExtraLines {
            cluster: "signing = \"replicas\"".to_owned(),
            top: format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {} }} }}", port.number()),
            ..ExtraLines::default()
        };
        site.add(&mut cluster, &extra).await;
        ports.push(port);
    }
    cluster.all_vote().await.expect("three voters");
    for asked in 0..3 {
        let mut before = Vec::new();
        for port in &ports {
            before.push(signed(port).await);
        }
        mint(&cluster.servers[asked]).await.expect("a token");
        for (position, port) in ports.iter().enumerate() {
            assert_eq!(signed(port).await - before[position], u64::from(position == asked), "asked {asked}");
        }
    }

    let leader = cluster.leader().await.expect("a leader");
    cluster.servers[leader].kill9().await.expect("it ends");
    let left = [(leader + 1) % 3, (leader + 2) % 3];
    for position in left {
        mint(&cluster.servers[position]).await.expect("an election is waited for");
    }
    cluster.servers[left[0]].kill9().await.expect("it ends");
    // A leader that heard from a quorum signs on for the shortest election timeout.
    let refused = until("it signs no more", CALL, async || match mint(&cluster.servers[left[1]]).await {
        Err(refused) => Ok(refused),
        Ok(_) => Err("it still signs"),
    });
    let refused = refused.await.expect("no quorum");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    cluster.stop().await.expect("an orderly end");
}
