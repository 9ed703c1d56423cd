//! `k8s_configmap` against a double of the Kubernetes API server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use steeple_core::plugin::{BundlePublisher as _, PublishPlace};
use steeple_plugins::BundleFormat;
use steeple_plugins::bundle_publisher_k8s_configmap::{K8sConfigMapPublisher, PublishedConfigMap};
use steeple_testkit::{KubernetesApiDouble, Trouble};

use super::bundles::bundle;

const NAME: (&str, &str) = ("spire", "spire-bundle");

struct World {
    api: KubernetesApiDouble,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self { api: KubernetesApiDouble::start().await.unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    fn config_map(&self, format: BundleFormat) -> PublishedConfigMap {
        let kubeconfig = self.api.write_kubeconfig(self.dir.path()).unwrap();
        PublishedConfigMap { format, ..config_map_at(kubeconfig) }
    }

    fn shown(&self) -> Option<String> {
        self.api.config_map(NAME.0, NAME.1, "bundle.crt")
    }
}

fn config_map_at(kubeconfig: PathBuf) -> PublishedConfigMap {
    PublishedConfigMap {
        namespace: NAME.0.to_owned(),
        configmap_name: NAME.1.to_owned(),
        configmap_key: "bundle.crt".to_owned(),
        kubeconfig_path: Some(kubeconfig),
        format: BundleFormat::Pem,
        refresh_hint: None,
    }
}

fn publisher<const N: usize>(clusters: [(&str, PublishedConfigMap); N]) -> K8sConfigMapPublisher {
    let clusters = clusters.map(|(id, config_map)| (id.to_owned(), config_map));
    K8sConfigMapPublisher::new(BTreeMap::from(clusters))
}

#[tokio::test]
async fn a_config_map_is_made_followed_and_shared_with_others() {
    let world = World::new().await;
    let publisher = publisher([("one", world.config_map(BundleFormat::Spiffe))]);
    assert_eq!((publisher.name(), publisher.place()), ("k8s_configmap", PublishPlace::Shared));
    for sequence in [1, 2, 2] {
        publisher.publish(&bundle(sequence)).await.unwrap();
        let shown = world.shown().unwrap();
        assert!(shown.ends_with(&format!("\"spiffe_sequence\":{sequence}}}")), "{shown}");
    }
    // Another key of the same ConfigMap is somebody else's and stays.
    world.api.put_config_map(NAME.0, NAME.1, ("other", "theirs"), "helm");
    publisher.publish(&bundle(3)).await.unwrap();
    assert_eq!(world.api.config_map(NAME.0, NAME.1, "other").as_deref(), Some("theirs"));
    // What somebody took away comes back.
    world.api.delete_config_map(NAME.0, NAME.1);
    publisher.publish(&bundle(3)).await.unwrap();
    assert!(world.shown().is_some());
}

#[tokio::test]
async fn a_key_of_another_manager_is_a_conflict_and_is_not_forced() {
    let world = World::new().await;
    world.api.put_config_map(NAME.0, NAME.1, ("bundle.crt", "theirs"), "helm");
    let publisher = publisher([("one", world.config_map(BundleFormat::Pem))]);
    let error = publisher.publish(&bundle(1)).await.unwrap_err().to_string();
    let text = "failed to apply ConfigMap for cluster \"one\": Apply failed with 1 conflict: conflict with \"helm\"";
    assert!(error.starts_with(text), "{error}");
    assert_eq!(world.shown().as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_cluster_in_trouble_is_told_and_keeps_the_bundle_from_no_other() {
    let (bad, good) = (World::new().await, World::new().await);
    let publisher =
        publisher([("bad", bad.config_map(BundleFormat::Pem)), ("good", good.config_map(BundleFormat::Pem))]);
    for (trouble, why) in [
        (Trouble::Forbids, "configmaps \"spire-bundle\" is forbidden: User "),
        (Trouble::Fails, "etcdserver: request timed out"),
        (Trouble::Endless, "length limit exceeded"),
        (Trouble::Hangs, "no answer within 10 s"),
    ] {
        good.api.delete_config_map(NAME.0, NAME.1);
        bad.api.set_trouble(trouble);
        let error = publisher.publish(&bundle(1)).await.unwrap_err().to_string();
        let rest = error.strip_prefix("failed to apply ConfigMap for cluster \"bad\": ");
        let rest = rest.unwrap_or_else(|| panic!("{error}"));
        assert!(rest.contains(why) && rest.len() < 1024 && !rest.contains("good"), "{trouble:?}: {error}");
        assert!(good.shown().is_some() && bad.shown().is_none(), "{trouble:?}");
    }
    bad.api.set_trouble(Trouble::None);
    publisher.publish(&bundle(1)).await.unwrap();
    assert!(bad.shown().is_some());
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named_and_read_again() {
    let world = World::new().await;
    let path = world.dir.path().join("kubeconfig");
    let publisher = publisher([("one", config_map_at(path.clone()))]);
    let error = publisher.publish(&bundle(1)).await.unwrap_err().to_string();
    let text = "failed to create Kubernetes client for cluster \"one\": error getting kubeconfig: ";
    assert!(error.starts_with(text) && error.contains(path.to_str().unwrap()), "{error}");
    assert_eq!(world.api.write_kubeconfig(world.dir.path()).unwrap(), path);
    publisher.publish(&bundle(1)).await.unwrap();
    assert!(world.shown().is_some());
}
