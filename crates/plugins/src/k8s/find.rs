//! Which pod of a list a container belongs to.

use super::pod::{ContainerStatus, Pod, PodList};
use super::selectors;
use crate::container::Container;

/// The pod, with the container unless its status does not show it yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'l> {
    pub pod: &'l Pod,
    pub container: Option<&'l ContainerStatus>,
}

/// A container is in one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two pods found with same container Id")]
pub(super) struct TwoPods;

/// `None` while the list does not show the container. With `pod_is_enough` a pod whose UID the cgroup names is found
/// before it does.
pub(super) fn find<'l>(
    list: &'l PodList,
    wanted: &Container,
    pod_is_enough: bool,
) -> Result<Option<Found<'l>>, TwoPods> {
    if !wanted.pod_uid.is_empty() {
        let Some(pod) = list.pods.get(&wanted.pod_uid) else { return Ok(None) };
        let container = pod.container(&wanted.container_id);
        return Ok((container.is_some() || pod_is_enough).then_some(Found { pod, container }));
    }
    let mut found = None;
    for pod in list.pods.values() {
        let Some(container) = pod.container(&wanted.container_id) else { continue };
        if found.replace(Found { pod, container: Some(container) }).is_some() {
            return Err(TwoPods);
        }
    }
    Ok(found)
}

impl Found<'_> {
    /// With those of the container unless the pod is enough.
    pub(super) fn selectors(&self, pod_is_enough: bool) -> Vec<String> {
        let container = self.container.filter(|_| !pod_is_enough);
        let mut values = selectors::of_pod(self.pod);
        values.extend(container.into_iter().flat_map(selectors::of_container));
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"items": [
        {
            "metadata": {
                "name": "web-0", "namespace": "shop", "uid": "pod-1", "labels": {"app": "web", "tier": "a:b"},
                "ownerReferences": [{"kind": "StatefulSet", "name": "web", "uid": "owner-1", "controller": true}]
            },
            "spec": {"nodeName": "node-1", "serviceAccountName": "web"},
            "status": {
                "containerStatuses": [
                    {"name": "nginx", "image": "nginx:1.27", "imageID": "docker.io/nginx@sha256:aa",
                     "containerID": "containerd://c1", "state": {"running": {}}},
                    {"name": "starting", "image": "nginx:1.27", "imageID": "", "state": {"waiting": {}}}
                ],
                "initContainerStatuses": [
                    {"name": "init", "image": "busybox", "imageID": "sha256:bb", "containerID": "containerd://c2",
                     "state": {"terminated": {"exitCode": 0}}}
                ],
                "ephemeralContainerStatuses": [
                    {"name": "debug", "image": "busybox", "containerID": "containerd://c3"}
                ]
            }
        },
        {
            "metadata": {"name": "twin", "uid": "pod-2"},
            "status": {"containerStatuses": [{"name": "x", "containerID": "cri-o://c1"}]}
        },
        {
            "metadata": {"name": "alone", "uid": "pod-3"},
            "status": {"containerStatuses": [{"name": "x", "containerID": "cri-o://c4"}]}
        }
    ]}"#;

    fn values(pod_uid: &str, container_id: &str, pod_is_enough: bool) -> Result<Option<Vec<String>>, TwoPods> {
        let list = PodList::parse(LIST.as_bytes()).unwrap();
        let wanted = Container { pod_uid: pod_uid.to_owned(), container_id: container_id.to_owned() };
        Ok(find(&list, &wanted, pod_is_enough)?.map(|found| found.selectors(pod_is_enough)))
    }

    const OF_POD: &[&str] = &[
        "sa:web",
        "ns:shop",
        "node-name:node-1",
        "pod-uid:pod-1",
        "pod-name:web-0",
        "pod-image-count:2",
        "pod-init-image-count:1",
        // The container that is starting has no image ID yet, which SPIRE says with an empty one.
        "pod-image:",
        "pod-image:docker.io/nginx@sha256:aa",
        "pod-image:nginx:1.27",
        "pod-init-image:busybox",
        "pod-init-image:sha256:bb",
        "pod-label:app:web",
        "pod-label:tier:a:b",
        "pod-owner:StatefulSet:web",
        "pod-owner-uid:StatefulSet:owner-1",
    ];

    #[test]
    fn every_selector_of_pod_and_container() {
        let of_container =
            ["container-name:nginx", "container-image:docker.io/nginx@sha256:aa", "container-image:nginx:1.27"];
        assert_eq!(values("pod-1", "c1", false).unwrap().unwrap(), [OF_POD, &of_container].concat());
        assert_eq!(values("pod-1", "c1", true).unwrap().unwrap(), OF_POD);
        let of_init = ["container-name:init", "container-image:busybox", "container-image:sha256:bb"];
        assert_eq!(values("pod-1", "c2", false).unwrap().unwrap(), [OF_POD, &of_init].concat());
    }

    #[test]
    fn a_container_that_is_not_listed_is_waited_for_unless_its_pod_is_enough() {
        assert_eq!(values("pod-1", "c9", false), Ok(None));
        assert_eq!(values("pod-1", "c9", true).unwrap().unwrap(), OF_POD);
        // A pod that the cgroup does not name cannot be known before its container is.
        assert_eq!(values("", "c9", true), Ok(None));
        assert_eq!(values("pod-9", "c1", true), Ok(None));
        assert_eq!(values("pod-1", "c3", false), Ok(None), "ephemeral containers are not looked for");
    }

    #[test]
    fn a_container_in_two_pods_is_refused_where_no_pod_is_known() {
        assert_eq!(values("", "c1", false), Err(TwoPods));
        assert!(values("pod-2", "c1", false).unwrap().is_some());
        assert!(values("", "c4", false).unwrap().unwrap().contains(&"pod-name:alone".to_owned()));
    }

    #[test]
    fn labels_of_the_namespace() {
        let labels = [("team".to_owned(), "a:b".to_owned())].into();
        assert_eq!(selectors::of_namespace(&labels), ["ns-label:team:a:b"]);
    }
}
