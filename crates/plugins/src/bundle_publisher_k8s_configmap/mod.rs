//! BundlePublisher `k8s_configmap`: the bundle under a key of a ConfigMap, in any number of clusters.
//!
//! Server-side apply with SPIRE's field manager: the key is ours, other keys of the ConfigMap stay whose they are, and
//! a key that another manager owns is a conflict that is told and never forced.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use steeple_core::Bundle;
use steeple_core::plugin::{BoxFuture, BundlePublisher, PublishError, PublishPlace};

use crate::BundleFormat;
use crate::kubernetes::{ApiServer, AskError};

/// One block of `clusters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedConfigMap {
    pub namespace: String,
    pub configmap_name: String,
    pub configmap_key: String,
    /// `None`: the cluster that the server itself runs in.
    pub kubeconfig_path: Option<PathBuf>,
    pub format: BundleFormat,
    /// Seconds; `None`: what the bundle says.
    pub refresh_hint: Option<i64>,
}

pub struct K8sConfigMapPublisher {
    clusters: BTreeMap<String, Cluster>,
}

struct Cluster {
    config_map: PublishedConfigMap,
    api: ApiServer,
}

impl K8sConfigMapPublisher {
    /// `clusters` by any names; they appear in messages.
    pub fn new(clusters: BTreeMap<String, PublishedConfigMap>) -> Self {
        let cluster = |config_map: PublishedConfigMap| {
            let api = ApiServer::new(config_map.kubeconfig_path.clone());
            Cluster { config_map, api }
        };
        Self { clusters: clusters.into_iter().map(|(id, config_map)| (id, cluster(config_map))).collect() }
    }

    /// In all clusters at once: one that is away keeps the bundle from no other.
    async fn publish_everywhere(&self, bundle: &Bundle) -> Result<(), PublishError> {
        let attempts = self.clusters.iter().map(|(id, cluster)| cluster.publish(id, bundle));
        let failures: Vec<String> = join_all(attempts).await.into_iter().filter_map(Result::err).collect();
        if failures.is_empty() { Ok(()) } else { Err(PublishError(failures.join("; "))) }
    }
}

impl Cluster {
    async fn publish(&self, id: &str, bundle: &Bundle) -> Result<(), String> {
        let PublishedConfigMap { namespace, configmap_name, configmap_key, format, refresh_hint, .. } =
            &self.config_map;
        let text = format
            .print(bundle, *refresh_hint)
            .map_err(|error| format!("could not format bundle when publishing to cluster {id:?}: {error}"))?;
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                name: Some(configmap_name.clone()),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(configmap_key.clone(), text)])),
            ..ConfigMap::default()
        };
        let applied = self.api.ask(async |client| {
            let config_maps = Api::<ConfigMap>::namespaced(client, namespace);
            config_maps.patch(configmap_name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&wanted)).await
        });
        match applied.await {
            Ok(_) => {
                tracing::debug!(
                    cluster_id = id,
                    namespace,
                    configmap = configmap_name,
                    key = configmap_key,
                    "Bundle published to Kubernetes ConfigMap"
                );
                Ok(())
            }
            Err(AskError::Config(why)) => {
                Err(format!("failed to create Kubernetes client for cluster {id:?}: error getting kubeconfig: {why}"))
            }
            Err(AskError::Answer(why)) => Err(format!("failed to apply ConfigMap for cluster {id:?}: {why}")),
        }
    }
}

impl BundlePublisher for K8sConfigMapPublisher {
    fn name(&self) -> &str {
        "k8s_configmap"
    }

    fn place(&self) -> PublishPlace {
        PublishPlace::Shared
    }

    fn publish<'a>(&'a self, bundle: &'a Bundle) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(self.publish_everywhere(bundle))
    }
}

/// SPIRE's, so that a ConfigMap which its plugin wrote is ours without a conflict.
const FIELD_MANAGER: &str = "spire-bundlepublisher-k8s_configmap";
