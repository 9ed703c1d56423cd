//! Selector values, the part behind `k8s:`.

use std::collections::{BTreeMap, BTreeSet};

use super::pod::{ContainerStatus, Pod};

/// Of the pod.
pub(super) fn of_pod(pod: &Pod) -> Vec<String> {
    let (containers, init_containers) = (&pod.status.container_statuses, &pod.status.init_container_statuses);
    let mut values = vec![
        format!("sa:{}", pod.spec.service_account_name),
        format!("ns:{}", pod.metadata.namespace),
        format!("node-name:{}", pod.spec.node_name),
        format!("pod-uid:{}", pod.metadata.uid),
        format!("pod-name:{}", pod.metadata.name),
        format!("pod-image-count:{}", containers.len()),
        format!("pod-init-image-count:{}", init_containers.len()),
    ];
    values.extend(images(containers).into_iter().map(|image| format!("pod-image:{image}")));
    values.extend(images(init_containers).into_iter().map(|image| format!("pod-init-image:{image}")));
    values.extend(pod.metadata.labels.iter().map(|(key, value)| format!("pod-label:{key}:{value}")));
    for owner in &pod.metadata.owner_references {
        values.push(format!("pod-owner:{}:{}", owner.kind, owner.name));
        values.push(format!("pod-owner-uid:{}:{}", owner.kind, owner.uid));
    }
    values
}

/// Of the workload's container.
pub(super) fn of_container(container: &ContainerStatus) -> Vec<String> {
    let mut values = vec![format!("container-name:{}", container.name)];
    values.extend(images(std::slice::from_ref(container)).into_iter().map(|image| format!("container-image:{image}")));
    values
}

/// Of the pod's namespace.
pub(super) fn of_namespace(labels: &BTreeMap<String, String>) -> Vec<String> {
    labels.iter().map(|(key, value)| format!("ns-label:{key}:{value}")).collect()
}

/// Each image under both of its names: the tag, which is known before it is pulled, and the digest.
fn images(containers: &[ContainerStatus]) -> BTreeSet<&str> {
    containers.iter().flat_map(|container| [container.image.as_str(), container.image_id.as_str()]).collect()
}
