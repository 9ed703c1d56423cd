//! From a backup to a cluster again.

use std::time::Duration;

use steeple_api::server::localauthority::{
    GetJwtAuthorityStateRequest, GetX509AuthorityStateRequest, GetX509AuthorityStateResponse,
};
use steeple_testkit::{Server, until};

use crate::site::{Site, create, entries, run, text};

/// A few rounds of the CA driver on a busy machine.
const PREPARED_MAX: Duration = Duration::from_secs(60);

async fn x509(server: &Server) -> GetX509AuthorityStateResponse {
    let request = GetX509AuthorityStateRequest {};
    server.admin().local_authorities().get_x509_authority_state(request).await.expect("its state").into_inner()
}

#[tokio::test]
async fn a_backup_becomes_a_new_cluster_that_others_join() {
    let site = Site::new();
    let mut cluster = site.cluster(1).await;
    let server = &mut cluster.servers[0];
    for number in 0..20 {
        create(server, &format!("entry-{number:02}")).await;
    }
    let token = server.admin().create_join_token(Duration::from_secs(600)).await.expect("a token");
    let path = site.backup(server, "one.backup").await;
    create(server, "zz-after-the-backup").await;
    let (old_status, old_bundle) = (server.admin().status().await.unwrap(), server.admin().bundle().await.unwrap());
    let old_ca = x509(server).await.active.expect("an authority").authority_id;

    let inspected = run(&["backup", "inspect", "-path", text(&path), "-output", "json"]).await;
    assert_eq!((&inspected.json["entries"], &inspected.json["join_tokens"]), (&"20".into(), &"1".into()));
    assert_eq!(inspected.json["cluster_uuid"], old_status.cluster_uuid.as_str());
    let config = site.config(server);
    let verified = run(&["backup", "verify", "-path", text(&path), "-config", &config, "-output", "json"]).await;
    assert_eq!(verified.json["verified"], true, "{}", verified.text);
    assert_eq!(verified.json["state_hash"], inspected.json["state_hash"]);
    let bytes = std::fs::read(&path).expect("a file");
    let shown = |needle: &str| bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
    assert!(!shown(&token) && !shown("entry-07"), "the file shows what is in it");

    server.stop().await.expect("it stops");
    std::fs::remove_dir_all(server.data_dir()).expect("a directory");
    let restored = run(&["restore", "-path", text(&path), "-config", &config]).await;
    assert!(restored.ok, "{}", restored.text);
    for word in ["whatever changed later is lost", "Join tokens voided: 1", "prepares new ones", "cannot come back"] {
        assert!(restored.text.contains(word), "{word}: {}", restored.text);
    }
    server.launch().expect("it starts");
    server.ready().await.expect("it is ready");

    let status = server.admin().status().await.unwrap();
    assert_ne!(status.cluster_uuid, old_status.cluster_uuid);
    assert!(status.node_id > old_status.node_id);
    assert_eq!(entries(server).await.len(), 20);
    let bundle = server.admin().bundle().await.unwrap();
    assert!(bundle.sequence_number > old_bundle.sequence_number + 100_000);
    // The rotation is on its way at once, although the authority has most of its life before it.
    until("successors are prepared", PREPARED_MAX, async || {
        let x509 = x509(server).await;
        let jwt = server.admin().local_authorities().get_jwt_authority_state(GetJwtAuthorityStateRequest {}).await;
        let jwt = jwt.map_err(|error| error.to_string())?.into_inner();
        let successors = [x509.prepared.is_some(), jwt.prepared.is_some()];
        let signs_on = x509.active.is_some_and(|active| active.authority_id == old_ca);
        if signs_on && successors == [true; 2] { Ok(()) } else { Err(format!("{successors:?}, {signs_on}")) }
    })
    .await
    .expect("prepared");

    let joined = site.joins("server-new", &cluster.servers[0]).await;
    cluster.servers.push(joined);
    cluster.all_vote().await.expect("both vote");
    create(&cluster.servers[1], "zz-new").await;
    cluster.converged().await.expect("one state");
    assert_eq!(entries(&cluster.servers[1]).await.len(), 21);
}

#[tokio::test]
async fn a_directory_of_backups_is_listed_with_what_is_wrong() {
    let site = Site::new();
    let cluster = site.cluster(1).await;
    site.backup(&cluster.servers[0], "a.backup").await;
    create(&cluster.servers[0], "later").await;
    let second = site.backup(&cluster.servers[0], "b.backup").await;
    let bytes = std::fs::read(&second).expect("a file");
    std::fs::write(site.scratch.join("c.backup"), &bytes[..bytes.len() / 2]).expect("half of it");
    let listed = run(&["backup", "list", "-dir", text(site.scratch.path()), "-output", "json"]).await;
    let found = listed.json["backups"].as_array().expect("a list");
    assert_eq!(found.len(), 2, "{}", listed.text);
    assert_eq!(listed.json["unreadable"].as_array().expect("a list").len(), 1);
    assert!(listed.text.contains("cut short"), "{}", listed.text);
}
