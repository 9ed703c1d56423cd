//! Where a cluster shows its bundle: in a ConfigMap of a double of the Kubernetes API server, and in a file of each
//! replica.

use std::time::Duration;

use rcgen::PublicKeyData as _;
use serde_json::Value;
use steeple_api::server::bundle::AppendBundleRequest;
use steeple_api::types::JwtKey;
use steeple_testkit::{Cluster, ExtraLines, KubernetesApiDouble, Server, Trouble, until};

use crate::site::{Site, binaries, spec};

/// An election, and the longest pause after failures.
const EVENT_MAX: Duration = Duration::from_secs(120);
/// In each server's own directory, which is its working directory.
const FILE: &str = "BundlePublisher \"file\" { plugin_data { path = \"bundle.json\" format = \"jwks\" } }";

/// Adds a key to the own bundle.
async fn append(server: &Server, key_id: &str) {
    let key = rcgen::KeyPair::generate().expect("a key").subject_public_key_info();
    let key = JwtKey { public_key: key, key_id: key_id.to_owned(), ..JwtKey::default() };
    let request = AppendBundleRequest { jwt_authorities: vec![key], ..AppendBundleRequest::default() };
    server.admin().bundles().append_bundle(request).await.expect("it is appended");
}

fn has_key(document: &str, key_id: &str) -> bool {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    document["keys"].as_array().is_some_and(|keys| keys.iter().any(|key| key["kid"] == key_id))
}

/// Waits until the key is wherever the bundle is shown.
async fn until_shown(site: &Site, api: &KubernetesApiDouble, servers: &[&Server], key_id: &str) {
    let shown = until(key_id, EVENT_MAX, async || {
        let config_map = api.config_map("spire", "spire-bundle", "bundle").unwrap_or_default();
        if !has_key(&config_map, key_id) {
            return Err(format!("the ConfigMap has {config_map}"));
        }
        for server in servers {
            let file = std::fs::read_to_string(site.scratch.join(server.name()).join("bundle.json"));
            let file = file.unwrap_or_default();
            if !has_key(&file, key_id) {
                return Err(format!("{} has {file}", server.name()));
            }
        }
        Ok(())
    });
    shown.await.expect("it is shown everywhere");
}

fn says(server: &Server, text: &str) -> bool {
    std::fs::read_to_string(server.log()).expect("a log").contains(text)
}

#[tokio::test]
async fn the_bundle_is_shown_at_every_change_whoever_leads_and_after_trouble() {
    let site = Site::new();
    let api = KubernetesApiDouble::start().await.expect("a double");
    let config_map = api.publisher_block(site.scratch.path()).expect("a block");
    let extra = ExtraLines { plugins: format!("{config_map}\n{FILE}"), ..ExtraLines::default() };
    let started = Cluster::start_with(&binaries(), site.scratch.path(), 3, &spec(""), &extra).await;
    let mut cluster = started.expect("a cluster");
    let all: Vec<&Server> = cluster.servers.iter().collect();
    append(all[0], "first").await;
    until_shown(&site, &api, &all, "first").await;

    // While the API server fails, files follow all the same, and the log says what is wrong.
    api.set_trouble(Trouble::Fails);
    append(all[0], "second").await;
    let leader = cluster.leader().await.expect("a leader");
    let refused = until("a refusal in the log", EVENT_MAX, async || {
        match says(&cluster.servers[leader], "Failed to publish bundle") {
            true => Ok(()),
            false => Err("it is not there"),
        }
    });
    refused.await.expect("it is told");
    assert!(says(&cluster.servers[leader], "BundlePublisher=k8s_configmap"));
    let followers = cluster.servers.iter().enumerate().filter(|(position, _)| *position != leader);
    for (_, follower) in followers {
        assert!(!says(follower, "Failed to publish bundle"), "only the leader writes what all share");
    }

    // Another leader goes on where the last one could not.
    cluster.servers[leader].kill9().await.expect("killed");
    api.set_trouble(Trouble::None);
    let rest: Vec<&Server> = cluster.servers.iter().filter(|server| server.process().is_some()).collect();
    until_shown(&site, &api, &rest, "second").await;
    append(rest[0], "third").await;
    until_shown(&site, &api, &rest, "third").await;
}
