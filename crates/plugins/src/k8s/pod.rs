//! The kubelet's pod list (`v1.PodList`), as far as selectors need it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::json::or_empty;

/// Pods by UID.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PodList {
    /// Go writes a list without elements as null; a document without the key is no pod list.
    #[serde(rename = "items", deserialize_with = "by_uid")]
    pub pods: HashMap<String, Pod>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Pod {
    #[serde(default, deserialize_with = "or_empty")]
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "or_empty")]
    pub spec: PodSpec,
    #[serde(default, deserialize_with = "or_empty")]
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default, deserialize_with = "or_empty")]
    pub name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub namespace: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub uid: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub owner_references: Vec<OwnerReference>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct OwnerReference {
    #[serde(default, deserialize_with = "or_empty")]
    pub kind: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec {
    #[serde(default, deserialize_with = "or_empty")]
    pub node_name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub service_account_name: String,
    #[serde(rename = "hostPID", default, deserialize_with = "or_empty")]
    pub host_pid: bool,
    #[serde(default, deserialize_with = "or_empty")]
    pub share_process_namespace: bool,
}

/// Ephemeral containers are not looked for, as in SPIRE: whoever may debug a pod does not get its identity.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStatus {
    #[serde(default, deserialize_with = "or_empty")]
    pub container_statuses: Vec<ContainerStatus>,
    #[serde(default, deserialize_with = "or_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ContainerStatus {
    #[serde(default, deserialize_with = "or_empty")]
    pub name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub image: String,
    #[serde(rename = "imageID", default, deserialize_with = "or_empty")]
    pub image_id: String,
    /// `containerd://<id>`; empty until the runtime has made the container.
    #[serde(rename = "containerID", default, deserialize_with = "or_empty")]
    pub container_id: String,
}

impl PodList {
    /// Pods without a UID are left out, with a warning.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// One pod after the other: three bytes of an answer are a pod without a name, and a pod is a hundred times as long.
fn by_uid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, Pod>, D::Error> {
    deserializer.deserialize_option(ByUid)
}

struct ByUid;

impl<'de> Visitor<'de> for ByUid {
    type Value = HashMap<String, Pod>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of pods")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(HashMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let (mut pods, mut nameless) = (HashMap::new(), 0_usize);
        while let Some(pod) = items.next_element::<Pod>()? {
            if pod.metadata.uid.is_empty() {
                nameless += 1;
            } else {
                pods.insert(pod.metadata.uid.clone(), pod);
            }
        }
        if nameless > 0 {
            tracing::warn!(pods = nameless, "Pods have no UID");
        }
        Ok(pods)
    }
}

impl Pod {
    /// The container of this ID, whether it is waiting, running or terminated: a status without an ID is of none yet.
    pub(super) fn container(&self, id: &str) -> Option<&ContainerStatus> {
        let statuses = self.status.container_statuses.iter().chain(&self.status.init_container_statuses);
        statuses.filter(|status| !status.container_id.is_empty()).find(|status| status.runtime_id() == id)
    }
}

impl ContainerStatus {
    /// The part of `containerd://<id>` that is a host in a URL.
    fn runtime_id(&self) -> &str {
        let rest = self.container_id.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_strangers_are_as_nothing() {
        let json = br#"{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
            {"metadata": {"uid": "u", "labels": null, "creationTimestamp": null}, "spec": null, "extra": [1]},
            {"metadata": {"name": "nameless"}}
        ]}"#;
        let list = PodList::parse(json).unwrap();
        assert_eq!(list.pods.len(), 1);
        assert!(list.pods["u"].metadata.labels.is_empty());
        assert!(PodList::parse(br#"{"items": null}"#).unwrap().pods.is_empty());
    }

    /// The largest answer that is read has room for eleven million of them.
    #[test]
    fn pods_without_a_name_take_no_memory() {
        let json = format!("{{\"items\":[{}]}}", vec!["{}"; 100_000].join(","));
        assert_eq!(PodList::parse(json.as_bytes()).unwrap().pods.capacity(), 0);
    }

    #[test]
    fn what_is_no_pod_list_is_refused() {
        for json in [&b"{}"[..], b"[]", b"", b"null", b"{\"items\": {}}", b"{\"items\": [1]}", b"<html>", b"\xff"] {
            assert!(PodList::parse(json).is_err(), "{}", String::from_utf8_lossy(json));
        }
    }

    #[test]
    fn the_id_is_the_host_of_the_url() {
        let of = |id: &str| ContainerStatus { container_id: id.to_owned(), ..ContainerStatus::default() };
        assert_eq!(of("containerd://abc").runtime_id(), "abc");
        assert_eq!(of("cri-o://abc/x").runtime_id(), "abc");
        assert_eq!(of("abc").runtime_id(), "");
    }
}
