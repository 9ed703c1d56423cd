//! What a stock server wrote, in a server of ours.

use steeple_api::server::agent::GetAgentRequest;
use steeple_api::server::entry::GetEntryRequest;
use steeple_api::server::localauthority::{GetJwtAuthorityStateRequest, GetX509AuthorityStateRequest};
use steeple_api::types;
use steeple_testkit::Server;

use crate::site::{Site, count, import};

const X509_ACTIVE: &str = "f31f58d99892a8fb825c8cbfd77adbe6560766d7";
const BANNED: &str = "/spire/agent/x509pop/81f152d8e690ff7105cc2c27228ecfa0a37346e2";

#[tokio::test]
async fn records_and_keys_come_along_once() {
    let site = Site::new();
    let server = site.server("example.org").await;
    let (datastore, keys) = (site.datastore("d.sqlite3", ""), site.keys("keys.json", str::to_owned));
    let keys = keys.to_str().expect("text");
    let args = ["-keys", keys, "-output", "json"];

    let dry = import(&server, &datastore, &["-keys", keys, "-output", "json", "-dry-run"]).await.report();
    assert_eq!(dry["written"], false);
    assert!(server.admin().entries().get_entry(entry("full")).await.is_err(), "a dry run writes nothing");

    let done = import(&server, &datastore, &args).await.report();
    assert_eq!(done["written"], true);
    assert_eq!(done["counts"], dry["counts"], "a dry run says what happens");
    for (kind, created) in [("bundle", 3), ("federation_relationship", 2), ("agent", 3), ("authority", 4)] {
        assert_eq!(count(&done, kind, "created"), created, "{kind}: {done}");
    }
    assert!(count(&done, "entry", "created") >= 7 && count(&done, "join_token", "created") >= 1, "{done}");

    let full = server.admin().entries().get_entry(entry("full")).await.expect("it is there").into_inner();
    assert_eq!((full.created_at, full.hint.as_str(), full.x509_svid_ttl), (1_795_649_036, "external", 600));
    assert_eq!(full.federates_with, ["partner.test", "web.test"]);
    let edited = server.admin().entries().get_entry(entry("edited")).await.expect("it is there").into_inner();
    assert_eq!(edited.revision_number, 3);
    let id = types::Spiffeid { trust_domain: "example.org".to_owned(), path: BANNED.to_owned() };
    let request = GetAgentRequest { id: Some(id), output_mask: None };
    assert!(server.admin().agents().get_agent(request).await.expect("it is there").into_inner().banned);
    assert_eq!(signing(&server).await, X509_ACTIVE);
    let bundle = server.admin().bundle().await.expect("a bundle");
    assert_eq!(bundle.x509_authorities.len(), 3, "the two old roots, and the one made here");

    let again = import(&server, &datastore, &args).await;
    assert_eq!(again.report()["written"], false, "{}", again.stdout);
    for kind in ["bundle", "federation_relationship", "agent", "entry", "join_token", "authority"] {
        assert_eq!(count(&again.json(), kind, "created"), 0, "{kind}: {}", again.stdout);
    }
    let text = import(&server, &datastore, &["-keys", keys]).await;
    assert!(text.ok && text.stdout.contains("all that can be imported is here already"), "{}", text.stdout);
}

/// Through a follower, and every replica has it; the keys are in no file and in no log.
#[tokio::test]
async fn a_cluster_takes_an_import_at_any_replica() {
    let site = Site::new();
    let mut cluster = site.cluster(3).await;
    let follower = cluster.follower().await.expect("a follower");
    let (datastore, keys) = (site.datastore("d.sqlite3", ""), site.keys("keys.json", str::to_owned));
    let args = ["-keys", keys.to_str().expect("text"), "-output", "json"];
    let done = import(&cluster.servers[follower], &datastore, &args).await.report();
    assert_eq!(done["written"], true);
    cluster.converged().await.expect("all replicas hold the same");
    for server in &cluster.servers {
        assert!(server.admin().entries().get_entry(entry("stored")).await.is_ok(), "{}", server.name());
        assert_eq!(signing(server).await, X509_ACTIVE, "{}", server.name());
    }
    let secrets = private_keys(&std::fs::read_to_string(&keys).expect("the keys"));
    assert_eq!(secrets.len(), 4);
    cluster.stop().await.expect("they stop");
    for server in &cluster.servers {
        let mut files = vec![server.log()];
        files.extend(files_below(&server.data_dir()));
        for file in files {
            // The search in a text is the fast one.
            let content = hex::encode(std::fs::read(&file).expect("readable"));
            assert!(!secrets.iter().any(|secret| content.contains(secret)), "a private key is in {}", file.display());
        }
    }
}

/// The secret numbers themselves in hex: bytes 36 to 67 of a P-256 key in PKCS#8.
fn private_keys(json: &str) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let keys = document["keys"].as_object().expect("keys").values();
    let decode = |key: &serde_json::Value| {
        use base64::Engine as _;
        let der = base64::engine::general_purpose::STANDARD.decode(key.as_str().expect("text")).expect("Base64");
        hex::encode(&der[36..68])
    };
    keys.map(decode).collect()
}

fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let items = std::fs::read_dir(dir).expect("a directory").flatten().map(|item| item.path());
    items.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The authority that signs X.509-SVIDs; there is one for JWT-SVIDs too.
async fn signing(server: &Server) -> String {
    let mut authorities = server.admin().local_authorities();
    let jwt = authorities.get_jwt_authority_state(GetJwtAuthorityStateRequest {}).await.expect("a state").into_inner();
    assert_eq!(jwt.active.expect("it signs").authority_id.len(), 32, "a key ID as SPIRE makes them");
    let x509 = authorities.get_x509_authority_state(GetX509AuthorityStateRequest {}).await.expect("a state");
    x509.into_inner().active.expect("it signs").authority_id
}

fn entry(id: &str) -> GetEntryRequest {
    GetEntryRequest { id: id.to_owned(), output_mask: None }
}
