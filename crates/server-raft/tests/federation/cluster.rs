//! A cluster that federates: every replica shows the bundle, one of them polls.

use std::sync::Arc;

use steeple_api::server::localauthority::PrepareX509AuthorityRequest;
use steeple_core::{SpiffeId, SystemClock, TrustDomain};
use steeple_testkit::{Binaries, Cluster, ClusterRole, ExtraLines, Scratch, Server, ServerSpec, until};
use steeple_transport::client::https_get;
use steeple_transport::tls::{ServerIdVerifier, TrustRoots, https_client_config};

use crate::domain::{Endpoint, PATIENCE, federation, server, set_bundle, spec, until_fetched};

const HTTPS_SPIFFE: &str = "profile \"https_spiffe\" {}";
const LEADS: &str = "is_leader=true";
const POLLING: &str = "Polling for bundle update";

#[tokio::test]
async fn every_replica_serves_the_leader_polls_and_another_takes_over() {
    let scratch = Scratch::new().expect("a directory");
    let ours = Binaries::find().expect("our programs");
    let b = Endpoint::reserve("b.test");
    let serving = ExtraLines { server: federation(&[b.served(HTTPS_SPIFFE)]), ..ExtraLines::default() };
    let mut foreign = server(&ours, &scratch, &spec("foreign", b.trust_domain), &serving).await;

    let mut cluster = Cluster { servers: Vec::new() };
    let mut endpoints = Vec::new();
    for name in ["one", "two", "three"] {
        let endpoint = Endpoint::reserve("a.test");
        let blocks = [endpoint.served(HTTPS_SPIFFE), b.followed_by_spiffe()];
        let extra = ExtraLines { server: federation(&blocks), ..ExtraLines::default() };
        let join = cluster.servers.iter().map(Server::peer_address).collect();
        let role = ClusterRole { join, sealing_key_path: scratch.join("sealing-key") };
        let spec = ServerSpec { cluster: Some(role), ..spec(name, "a.test") };
        cluster.servers.push(server(&ours, &scratch, &spec, &extra).await);
        endpoints.push(endpoint);
    }
    cluster.all_vote().await.expect("three voters");

    // The same document from each.
    let own = cluster.servers[0].admin().bundle().await.expect("a bundle");
    let mut documents = Vec::new();
    for endpoint in &endpoints {
        documents.push(document(endpoint, &own).await);
    }
    assert!(!documents[0].is_empty() && documents.iter().all(|document| *document == documents[0]));

    // A bundle set on a follower reaches the leader, which polls at once.
    let follower = cluster.follower().await.expect("a follower");
    set_bundle(&cluster.servers[follower], foreign.admin().bundle().await.expect("a bundle")).await;
    for server in &cluster.servers {
        until_fetched(server, b.trust_domain).await;
    }
    let leader = cluster.leader().await.expect("a leader");
    let said = |text: &str| cluster.servers.iter().map(|server| log(server).contains(text)).collect::<Vec<_>>();
    let polled = said(POLLING);
    assert_eq!(polled, said(LEADS), "who leads, or has led, and nobody else");
    assert!(polled.contains(&false), "{polled:?}");

    // Whoever is asked to refresh does so, without becoming one who polls.
    cluster.servers[follower].admin().refresh_bundle(b.trust_domain).await.expect("a refresh");

    cluster.servers[leader].kill9().await.expect("killed");
    let request = PrepareX509AuthorityRequest {};
    foreign.admin().local_authorities().prepare_x509_authority(request).await.expect("a prepared authority");
    let rest: Vec<&Server> = cluster.servers.iter().filter(|server| server.process().is_some()).collect();
    for server in &rest {
        let arrived = until("the second root", PATIENCE, async || {
            let bundle = server.admin().federated_bundle(b.trust_domain).await?;
            if bundle.x509_authorities.len() == 2 { Ok(()) } else { Err(tonic::Status::not_found("one root")) }
        });
        arrived.await.map_err(|error| server.failure(&format!("{error:#}"))).expect("the new leader polls");
    }

    // An endpoint that is gone leaves the bundle where it is.
    foreign.stop().await.expect("an orderly end");
    rest[0].admin().refresh_bundle(b.trust_domain).await.expect_err("nobody is there");
    let kept = rest[0].admin().federated_bundle(b.trust_domain).await.expect("the bundle stays");
    assert_eq!(kept.x509_authorities.len(), 2);
}

async fn document(endpoint: &Endpoint, bundle: &steeple_api::types::Bundle) -> Vec<u8> {
    let domain = TrustDomain::from_name(endpoint.trust_domain).expect("a name");
    let roots: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.asn1.as_slice()).collect();
    let roots = TrustRoots::empty().with(domain, &roots).expect("usable roots").into_shared();
    let expected = SpiffeId::parse(&endpoint.server_id()).expect("an ID");
    let tls = https_client_config(ServerIdVerifier::new(roots, expected), Arc::new(SystemClock)).expect("TLS");
    https_get(&endpoint.url(), &tls, 1 << 20).await.expect("a document").body.to_vec()
}

fn log(server: &Server) -> String {
    std::fs::read_to_string(server.log()).expect("a log")
}
