//! New keys over the private keys, while the cluster serves, and when its leader goes in the middle.

use serde_json::json;
use steeple_api::steeple::server::RotateSealRequest;
use steeple_api::steeple::server::seal_client::SealClient;

use crate::site::{Site, create, refused, run, text};

#[tokio::test]
async fn the_keys_are_replaced_while_the_cluster_serves_and_by_whoever_leads() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    let follower = cluster.follower().await.expect("a follower");
    let socket = cluster.servers[follower].admin_socket();
    let mint = ["x509", "mint", "-spiffeID", "spiffe://example.org/x", "-socketPath", text(&socket)];
    assert!(run(&mint).await.ok);

    // Through a follower, with percentages where nobody looks at a bar.
    let said = run(&["seal", "rotate", "-socketPath", text(&socket), "-output", "json"]).await;
    assert!(said.ok && said.text.contains("100% "), "{}", said.text);
    assert_eq!((&said.json["term"], &said.json["terms"]), (&json!("2"), &json!(["2"])), "{}", said.text);
    assert_eq!(said.json["private_keys"], said.json["sealed_in_term"]);
    assert!(said.json["private_keys"].as_u64().is_some_and(|keys| keys >= 3), "{}", said.text);
    assert!(run(&mint).await.ok, "the keys sign as before");

    // The leader is gone as soon as the new keys are there: another one seals anew, or has nothing left to do.
    let leader = cluster.leader().await.expect("a leader");
    let mut seal = SealClient::new(steeple_cli::connect(&cluster.servers[leader].admin_socket()));
    seal.rotate(RotateSealRequest { term: 2 }).await.expect("a new keyring");
    cluster.servers[leader].kill9().await.expect("it ends");
    let other = cluster.follower().await.expect("another one runs");
    let socket = cluster.servers[other].admin_socket();
    let said = run(&["seal", "rotate", "-socketPath", text(&socket)]).await;
    assert!(said.ok && said.text.contains("Older data keys are gone."), "{}", said.text);
    cluster.servers[leader].launch().expect("it starts again");
    cluster.servers[leader].ready().await.expect("and opens the new keyring");

    // Two at once: one of them has an effect.
    let leader = cluster.leader().await.expect("a leader");
    let mut seal = SealClient::new(steeple_cli::connect(&cluster.servers[leader].admin_socket()));
    let stale = seal.rotate(RotateSealRequest { term: 1 }).await.expect_err("that was two rotations ago");
    assert_eq!(stale.code(), tonic::Code::Aborted, "{stale}");
    create(&cluster.servers[leader], "afterwards").await;
    cluster.converged().await.expect("one state");

    // Without a quorum it says so within seconds, and then stops.
    for server in &mut cluster.servers[1..] {
        server.kill9().await.expect("it ends");
    }
    let socket = cluster.servers[0].admin_socket();
    let began = std::time::Instant::now();
    let said = refused(&["seal", "rotate", "-socketPath", text(&socket)]).await;
    assert!(said.contains("waiting: there is no quorum: 1 of 3 voters answer"), "{said}");
    assert!(said.contains("start the others") && said.contains("run the same command again"), "{said}");
    assert!(began.elapsed() < std::time::Duration::from_secs(40), "{:?}", began.elapsed());

    let nowhere = site.scratch.join("none.sock");
    assert!(refused(&["seal", "rotate", "-socketPath", text(&nowhere)]).await.contains("keyring"));
}
