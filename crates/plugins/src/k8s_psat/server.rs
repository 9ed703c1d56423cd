//! The server's half.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::UserInfo;
use steeple_core::plugin::{AttestError, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_core::{Selector, TrustDomain};

use super::api::ClusterApi;
use super::wire::Payload;
use super::{NAME, review};
use crate::agent_path::agent_id;
use crate::json;

/// One block of `clusters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// `NAMESPACE:NAME` each.
    pub service_account_allow_list: BTreeSet<String>,
    /// Empty: the API server's own.
    pub audience: Vec<String>,
    /// `None`: the cluster that the server itself runs in.
    pub kube_config_file: Option<PathBuf>,
    pub allowed_node_label_keys: BTreeSet<String>,
    pub allowed_pod_label_keys: BTreeSet<String>,
    /// The agent's ID ends with the UID of its pod, not of its node: for several agents on one node.
    pub use_pod_uid_for_agent_id: bool,
}

pub struct K8sPsatServer {
    trust_domain: TrustDomain,
    clusters: BTreeMap<String, Cluster>,
}

struct Cluster {
    settings: ClusterSettings,
    api: ClusterApi,
}

impl ClusterSettings {
    pub const AUDIENCE: &str = "spire-server";
}

impl K8sPsatServer {
    /// `clusters` by the names that agents are configured with.
    pub fn new(trust_domain: TrustDomain, clusters: BTreeMap<String, ClusterSettings>) -> Self {
        let cluster = |settings: ClusterSettings| {
            let api = ClusterApi::new(settings.kube_config_file.clone());
            Cluster { settings, api }
        };
        let clusters = clusters.into_iter().map(|(name, settings)| (name, cluster(settings))).collect();
        Self { trust_domain, clusters }
    }

    async fn run(&self, payload: &[u8]) -> Result<Attested, AttestError> {
        let Payload { cluster: name, token } = json::read(payload)
            .map_err(|error| AttestError::invalid(format!("failed to unmarshal data payload: {error}")))?;
        if name.is_empty() {
            return Err(AttestError::invalid("missing cluster in attestation data"));
        }
        if token.is_empty() {
            return Err(AttestError::invalid("missing token in attestation data"));
        }
        let unknown = || AttestError::invalid(format!("not configured for cluster {name:?}"));
        let cluster = self.clusters.get(&name).ok_or_else(unknown)?;
        let review = cluster.api.review(&token, &cluster.settings.audience).await.map_err(|error| {
            AttestError::internal(format!(
                "unable to validate token with TokenReview API for cluster {name:?}: {error}"
            ))
        })?;
        if review.authenticated != Some(true) {
            let message = format!("token not authenticated according to TokenReview API for cluster {name:?}");
            return Err(AttestError::denied(message));
        }
        self.attested(&name, cluster, &review.user.unwrap_or_default()).await
    }

    /// `user` is whom the API server authenticated.
    async fn attested(&self, name: &str, cluster: &Cluster, user: &UserInfo) -> Result<Attested, AttestError> {
        let failed = |what: &str, why: &dyn std::fmt::Display| {
            AttestError::internal(format!("failed to {what} for cluster {name:?}: {why}"))
        };
        let (namespace, service_account) =
            review::service_account(user).map_err(|error| failed("parse username from token review status", &error))?;
        let full_name = format!("{namespace}:{service_account}");
        if !cluster.settings.service_account_allow_list.contains(&full_name) {
            let message = format!("{full_name:?} is not an allowed service account for cluster {name:?}");
            return Err(AttestError::denied(message));
        }
        let pod_name =
            review::pod_name(user).map_err(|error| failed("get pod name from token review status", &error))?;
        let pod_uid = review::pod_uid(user).map_err(|error| failed("get pod UID from token review status", &error))?;

        let pod = cluster.api.pod(namespace, pod_name).await;
        let pod = pod.map_err(|error| failed("get pod from k8s API server", &error))?;
        // One that was deleted and made again has another UID, and its predecessor's token is still good for a while.
        if pod.metadata.uid.as_deref() != Some(pod_uid) {
            return Err(AttestError::denied(format!(
                "pod UID mismatch for pod {pod_name:?} in cluster {name:?}: token bound to pod UID {pod_uid:?}"
            )));
        }
        let node_name = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        let node = cluster.api.node(&node_name).await;
        let node = node.map_err(|error| failed("get node from k8s API server", &error))?;
        let node_uid = node.metadata.uid.filter(|uid| !uid.is_empty());
        let node_uid =
            node_uid.ok_or_else(|| AttestError::internal(format!("node UID is empty for cluster {name:?}")))?;
        let node_ip = pod.status.and_then(|status| status.host_ip).unwrap_or_default();

        let mut values = vec![
            format!("cluster:{name}"),
            format!("agent_ns:{namespace}"),
            format!("agent_sa:{service_account}"),
            format!("agent_pod_name:{pod_name}"),
            format!("agent_pod_uid:{pod_uid}"),
            format!("agent_node_ip:{node_ip}"),
            format!("agent_node_name:{node_name}"),
            format!("agent_node_uid:{node_uid}"),
        ];
        let settings = &cluster.settings;
        values.extend(labels("agent_node_label", node.metadata.labels, &settings.allowed_node_label_keys));
        values.extend(labels("agent_pod_label", pod.metadata.labels, &settings.allowed_pod_label_keys));

        let suffix = match settings.use_pod_uid_for_agent_id {
            true => format!("/{NAME}/{name}/pod/{pod_uid}"),
            false => format!("/{NAME}/{name}/{node_uid}"),
        };
        Ok(Attested {
            agent_id: agent_id(&self.trust_domain, &suffix)
                .map_err(|error| AttestError::internal(format!("failed to make spiffe id: {error}")))?,
            selectors: values.into_iter().filter_map(|value| Selector::new(NAME, value).ok()).collect(),
            can_reattest: true,
        })
    }
}

impl NodeAttestor for K8sPsatServer {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        _: Option<IpAddr>,
        _: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>> {
        Box::pin(self.run(payload))
    }
}

fn labels<'a>(
    kind: &'a str,
    labels: Option<BTreeMap<String, String>>,
    allowed: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + 'a {
    let labels = labels.unwrap_or_default().into_iter().filter(|(key, _)| allowed.contains(key));
    labels.map(move |(key, value)| format!("{kind}:{key}:{value}"))
}
