//! Cgroup paths as runtimes write them, with what they mean. `{id}`, `{uid}` and so on stand for the values below.

pub(super) struct PathSample {
    template: &'static str,
    pub(super) pod_uid: Option<&'static str>,
    pub(super) container_id: Option<&'static str>,
}

pub(super) const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
pub(super) const OTHER_UID: &str = "72f7f152-440c-66ac-9084-e0fc1d8a910c";
pub(super) const ID: &str = "9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961";
pub(super) const OTHER_ID: &str = "09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6";

impl PathSample {
    pub(super) fn path(&self) -> String {
        self.template
            .replace("{id}", ID)
            .replace("{ID}", &ID.to_uppercase())
            .replace("{other}", OTHER_ID)
            .replace("{uid}", UID)
            .replace("{uid_}", &UID.replace('-', "_"))
    }
}

const fn pod(template: &'static str) -> PathSample {
    PathSample { template, pod_uid: Some(UID), container_id: Some(ID) }
}

const fn container(template: &'static str) -> PathSample {
    PathSample { template, pod_uid: None, container_id: Some(ID) }
}

const fn none(template: &'static str) -> PathSample {
    PathSample { template, pod_uid: None, container_id: None }
}

pub(super) const PATHS: &[PathSample] = &[
    // Kubernetes, cgroupfs driver: the three classes of service.
    pod("/kubepods/pod{uid}/{id}"),
    pod("/kubepods/burstable/pod{uid}/{id}"),
    pod("/kubepods/besteffort/pod{uid}/{id}"),
    // Kubernetes, systemd driver: Docker, containerd, CRI-O, and containerd's colons.
    pod("/kubepods.slice/kubepods-pod{uid_}.slice/cri-containerd-{id}.scope"),
    pod("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope"),
    pod("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uid_}.slice/crio-{id}.scope"),
    pod("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/docker-{id}.scope"),
    pod("/kubepods-besteffort-pod{uid_}.slice:cri-containerd:{id}"),
    pod("/system.slice/containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{id}"),
    // A node that is a container: kind, minikube, k3d.
    pod("/docker/{other}/kubepods/besteffort/pod{uid}/{id}"),
    pod("/docker/{other}/kubelet/kubepods/besteffort/pod{uid}/{id}"),
    pod("/docker/{other}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/crio-{id}.scope"),
    pod("/actions_job/{other}/kubepods/burstable/pod{uid}/{id}"),
    // Seen from another cgroup namespace.
    pod("/../../pod{uid}/{id}"),
    pod("/../kubepods-pod{uid_}.slice/cri-containerd-{id}.scope"),
    container("/../{id}"),
    container("/../crio-{id}.scope"),
    // What a workload makes below its own cgroup changes nothing.
    pod("/kubepods/burstable/pod{uid}/{id}/init.scope"),
    pod("/kubepods.slice/kubepods-pod{uid_}.slice/crio-{id}.scope/container/a/b"),
    // Containers outside of Kubernetes.
    container("/docker/{id}"),
    container("/docker/{ID}").upper(),
    container("/system.slice/docker-{id}.scope"),
    container("/docker/{other}/docker/{id}"),
    container("/machine.slice/libpod-{id}.scope"),
    container("/machine.slice/libpod-{id}.scope/container"),
    container("/libpod_parent/libpod-{id}"),
    container("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope/container"),
    container("/ecs/6c5f5f0e-6f13-4d43-9b0d-8d3b5e0d1f4a/{id}"),
    container("/kubepods/burstable/poda/{id}"),
    // Not quite.
    none("/"),
    none(""),
    none("/user.slice/user-1000.slice/session-2.scope"),
    none("/system.slice/ssh.service"),
    none("/kubepods/burstable/pod{uid}"),
    none("/docker/{id}0"),
    none("/docker/x{id}"),
    none("/docker/{id}_a"),
    none("/docker/{id}/"),
    // The pod must stand before the container and begin a word.
    container("/docker/{id}/pod{uid}"),
    container("/kubepods/xpod{uid}/{id}"),
    container("/kubepods/my_pod{uid}/{id}"),
    container("/kubepods/pod{uid}a/{id}"),
    // An empty segment ends the search.
    container("/kubepods/pod{uid}//{id}"),
];

impl PathSample {
    const fn upper(mut self) -> Self {
        self.container_id = Some("9BCA8D63D5FA610783847915BCFF0ECAC1273E5B4BED3F6FA1B07350E0135961");
        self
    }
}
