//! Workloads in containers and jobs, through a real agent and its Workload API: real cgroups and pid namespaces, and
//! doubles of a kubelet and of a container engine.

use std::ffi::OsStr;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use steeple_api::types;
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cgroup, Container, DoubleAnswer, EngineDouble, KubeletDouble, Scratch,
    Server, ServerSpec, until, workload_entry,
};

const TRUST_DOMAIN: &str = "example.org";
const WORKLOAD: &str = "spiffe://example.org/web";
const NO_IDENTITY: &str = "rpc error: code = PermissionDenied desc = no identity issued";
const TOKEN_TTL: Duration = Duration::from_secs(600);
const EVENT_MAX: Duration = Duration::from_secs(90);

/// A pod and its container as nobody else has them: tests run side by side, and all see the same processes.
struct Ids {
    pod: String,
    container: String,
}

impl Ids {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
        let (count, pid) = (COUNT.fetch_add(1, Ordering::Relaxed), std::process::id());
        let container = format!("{:032x}{pid:016x}{count:016x}", now.as_nanos());
        let pod = format!("{pid:08x}-{:04x}-4000-8000-{:012x}", count % 0x1_0000, now.subsec_nanos());
        Self { pod, container }
    }
}

/// A server and an agent beside whatever tells the agent of containers.
struct World {
    agent: Agent,
    _server: Server,
}

impl World {
    /// With one entry, for the workload that has all of `selectors`.
    async fn new(scratch: &Scratch, attestor: &str, selectors: &[&str]) -> Self {
        let binaries = Binaries::find().expect("the programs");
        let spec = ServerSpec {
            name: "server".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: None,
            jwt_issuer: None,
            log_level: "debug".to_owned(),
            env: Vec::new(),
        };
        let mut server = Server::start(&binaries, scratch.path(), &spec).expect("the server starts");
        server.ready().await.expect("the server becomes ready");
        let token = server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
        let parent =
            types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: format!("/spire/agent/join_token/{token}") };
        let selectors = selectors.iter().map(|selector| {
            let (kind, value) = selector.split_once(':').expect("a selector");
            types::Selector { r#type: kind.to_owned(), value: value.to_owned() }
        });
        let entry = workload_entry("", &parent, "/web", selectors.collect());
        server.admin().create_entry(entry).await.expect("an entry");
        let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        std::fs::write(scratch.join("bundle.pem"), pem::encode_many(&blocks)).expect("a file");
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![server.api_address()],
            trust_bundle: scratch.join("bundle.pem"),
            attestation: Attestation::JoinToken(token),
            log_level: "debug".to_owned(),
            lines: Vec::new(),
        };
        let mut agent =
            Agent::start_with(&binaries, scratch.path(), &spec, &[attestor.to_owned()]).expect("the agent starts");
        agent.ready().await.expect("the agent becomes ready");
        Self { agent, _server: server }
    }

    /// What a workload runs to get its identity.
    fn fetch(&self) -> [std::ffi::OsString; 8] {
        let socket = self.agent.socket();
        let program = Binaries::find().expect("the programs").agent;
        let words = ["api", "fetch", "x509", "-timeout", "90s", "-socketPath"].map(Into::into);
        let [a, b, c, d, e, f] = words;
        [program.into(), a, b, c, d, e, f, socket.into()]
    }

    async fn log_says(&self, part: &str) {
        let said = until(part, EVENT_MAX, async || {
            let log = self.agent.log().unwrap_or_default();
            if log.contains(part) { Ok(()) } else { Err(log) }
        });
        said.await.expect("the agent says so");
    }
}

fn words(program: &[std::ffi::OsString]) -> Vec<&OsStr> {
    program.iter().map(AsRef::as_ref).collect()
}

fn has_identity(output: &Output) -> bool {
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let has = said.contains(WORKLOAD);
    assert!(has || complaint.contains(NO_IDENTITY), "{said}{complaint}");
    has
}

fn pod(name: &str, ids: &Ids, spec: &str) -> String {
    let Ids { pod: uid, container: container_id } = ids;
    format!(
        r#"{{
            "metadata": {{
                "name": "{name}", "namespace": "shop", "uid": "{uid}", "labels": {{"app": "web"}},
                "ownerReferences": [{{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7", "uid": "rs-1"}}]
            }},
            "spec": {{"nodeName": "node-1", "serviceAccountName": "web"{spec}}},
            "status": {{"containerStatuses": [{{
                "name": "main", "image": "docker.io/shop/web:1", "imageID": "docker.io/shop/web@sha256:aa",
                "containerID": "containerd://{container_id}", "state": {{"running": {{}}}}
            }}]}}
        }}"#
    )
}

fn pods(pods: &[String]) -> DoubleAnswer {
    DoubleAnswer::Json(format!(r#"{{"kind": "PodList", "items": [{}]}}"#, pods.join(",")))
}

fn k8s(kubelet: &KubeletDouble, more: &str) -> String {
    let (files, port) = (kubelet.files(), kubelet.port());
    format!(
        "WorkloadAttestor \"k8s\" {{ plugin_data {{\n kubelet_secure_port = {port}\n kubelet_ca_path = \"{}\"\n \
         token_path = \"{}\"\n node_name_env = \"STEEPLE_TEST_NO_SUCH_VARIABLE\"\n poll_retry_interval = \"100ms\"\n \
         max_poll_attempts = 600\n{more}\n}} }}",
        files.ca.display(),
        files.token.display()
    )
}

#[tokio::test]
async fn a_pods_workload_gets_its_identity_once_the_kubelet_lists_it_and_no_intruder_does() {
    if !Cgroup::can_be_made("a_pods_workload_gets_its_identity_once_the_kubelet_lists_it_and_no_intruder_does") {
        return;
    }
    let scratch = Scratch::new().expect("a directory");
    let kubelet = KubeletDouble::start(scratch.path()).await.expect("a kubelet");
    let (ids, other_ids) = (Ids::new(), Ids::new());
    let selectors = [
        "k8s:ns:shop",
        "k8s:sa:web",
        "k8s:node-name:node-1",
        &format!("k8s:pod-uid:{}", ids.pod),
        "k8s:pod-label:app:web",
        "k8s:pod-owner:ReplicaSet:web-7",
        "k8s:pod-owner-uid:ReplicaSet:rs-1",
        "k8s:pod-image-count:1",
        "k8s:container-name:main",
        "k8s:container-image:docker.io/shop/web:1",
        "k8s:container-image:docker.io/shop/web@sha256:aa",
        "unix:uid:0",
    ];
    let world = World::new(&scratch, &k8s(&kubelet, ""), &selectors).await;
    let container =
        Container::start(&format!("/kubepods/burstable/pod{}/{}", ids.pod, ids.container)).await.expect("a container");
    let fetch = world.fetch();
    let fetch = words(&fetch);

    // The agent and its health checks are in no container, for which nobody asks the kubelet.
    assert_eq!(kubelet.requests(), 0);
    let listing = async {
        kubelet.has_been_asked(3).await;
        kubelet.answer(pods(&[pod("web", &ids, ""), pod("other", &other_ids, "")]));
    };
    let (output, ()) = tokio::join!(container.exec(&fetch), listing);
    assert!(has_identity(&output.expect("it runs")), "{}", world.agent.log().unwrap_or_default());

    assert!(!has_identity(&container.intrude(&fetch).await.expect("it runs")));
    world.log_says("is in the host's pid namespace: it entered the cgroup of container").await;
    let Ids { pod: uid, container: id } = &other_ids;
    let elsewhere = format!("/kubepods.slice/kubepods-pod{}.slice/crio-{id}.scope", uid.replace('-', "_"));
    let other = Container::start(&elsewhere).await.expect("a container");
    assert!(!has_identity(&container.intrude_from(&other, &fetch).await.expect("it runs")));
    world.log_says("it entered that cgroup from another container").await;
    assert!(!has_identity(&other.exec(&fetch).await.expect("it runs")), "it is another pod's");
    assert!(has_identity(&container.exec(&fetch).await.expect("it runs")));
}

#[tokio::test]
async fn a_pod_in_the_hosts_pid_namespace_is_refused() {
    if !Cgroup::can_be_made("a_pod_in_the_hosts_pid_namespace_is_refused") {
        return;
    }
    let scratch = Scratch::new().expect("a directory");
    let kubelet = KubeletDouble::start(scratch.path()).await.expect("a kubelet");
    let ids = Ids::new();
    kubelet.answer(pods(&[pod("web", &ids, r#", "hostPID": true"#)]));
    let world = World::new(&scratch, &k8s(&kubelet, ""), &["k8s:ns:shop"]).await;
    let container =
        Container::start(&format!("/kubepods/besteffort/pod{}/{}", ids.pod, ids.container)).await.expect("a container");
    let fetch = world.fetch();
    assert!(!has_identity(&container.intrude(&words(&fetch)).await.expect("it runs")));
    world.log_says(&format!("pod {} is in the host's pid namespace", ids.pod)).await;
}

#[tokio::test]
async fn where_host_pid_is_allowed_the_cgroup_decides() {
    if !Cgroup::can_be_made("where_host_pid_is_allowed_the_cgroup_decides") {
        return;
    }
    let scratch = Scratch::new().expect("a directory");
    let kubelet = KubeletDouble::start(scratch.path()).await.expect("a kubelet");
    let ids = Ids::new();
    kubelet.answer(pods(&[pod("web", &ids, r#", "hostPID": true"#)]));
    let world = World::new(&scratch, &k8s(&kubelet, "host_pid = \"allow\""), &["k8s:ns:shop"]).await;
    let container =
        Container::start(&format!("/kubepods/pod{}/{}", ids.pod, ids.container)).await.expect("a container");
    let fetch = world.fetch();
    assert!(has_identity(&container.intrude(&words(&fetch)).await.expect("it runs")));
}

#[tokio::test]
async fn a_kubelet_that_floods_harms_nobody_else() {
    if !Cgroup::can_be_made("a_kubelet_that_floods_harms_nobody_else") {
        return;
    }
    let scratch = Scratch::new().expect("a directory");
    let kubelet = KubeletDouble::start(scratch.path()).await.expect("a kubelet");
    let ids = Ids::new();
    kubelet.answer(DoubleAnswer::Endless(100 << 20));
    let attestor = k8s(&kubelet, "max_poll_attempts = 2");
    let world = World::new(&scratch, &attestor, &["unix:uid:0"]).await;
    let container =
        Container::start(&format!("/kubepods/pod{}/{}", ids.pod, ids.container)).await.expect("a container");
    let fetch = world.fetch();
    let fetch = words(&fetch);
    let (within, outside) = tokio::join!(container.exec(&fetch), world.agent.cli(&["api", "fetch", "x509"]));
    // `unix` has told as much as it knows of both.
    assert!(has_identity(&within.expect("it runs")));
    assert!(has_identity(&outside.expect("it runs")));
    world.log_says("the answer has more than 33554432 bytes").await;
}

#[tokio::test]
async fn a_job_of_slurm_is_told_by_its_cgroup_and_by_no_look_alike() {
    if !Cgroup::can_be_made("a_job_of_slurm_is_told_by_its_cgroup_and_by_no_look_alike") {
        return;
    }
    let scratch = Scratch::new().expect("a directory");
    let attestor = "WorkloadAttestor \"slurm\" { plugin_data {} }";
    let world = World::new(&scratch, attestor, &["slurm:job_id:3385", "slurm:step:batch", "unix:uid:0"]).await;
    let fetch = world.fetch();
    let fetch = words(&fetch);
    // As with several daemons on a node, which have names of their own.
    let scope = format!("/system.slice/{}_slurmstepd.scope", Cgroup::own_name());
    let job = Cgroup::make_at(&format!("{scope}/job_3385/step_batch/user/task_0")).expect("a cgroup");
    let job = Container::start_in(job).await.expect("a container");
    assert!(has_identity(&job.intrude(&fetch).await.expect("it runs")), "{}", world.agent.log().unwrap_or_default());
    // A job may be a container, too.
    assert!(has_identity(&job.exec(&fetch).await.expect("it runs")));
    for path in [
        format!("/{}/system.slice/slurmstepd.scope/job_3385/step_batch", Cgroup::own_name()),
        format!("/system.slice/{}_slurmstepd.scope/job_3386/step_batch", Cgroup::own_name()),
        format!("/system.slice/{}_slurmstepd.scope/job_3385/step_0/user", Cgroup::own_name()),
    ] {
        let other = Container::start_in(Cgroup::make_at(&path).expect("a cgroup")).await.expect("a container");
        assert!(!has_identity(&other.intrude(&fetch).await.expect("it runs")), "{path}");
    }
    assert!(!has_identity(&world.agent.cli_output(&["api", "fetch", "x509"]).await.expect("it runs")), "no job");
}

#[tokio::test]
async fn containers_of_docker_and_of_podman_are_told_by_their_engines() {
    if !Cgroup::can_be_made("containers_of_docker_and_of_podman_are_told_by_their_engines") {
        return;
    }
    let scratch = Scratch::new().expect("a directory");
    let [docker, podman, rootless] = ["docker.sock", "podman.sock", "user-1000.sock"]
        .map(|name| EngineDouble::start(&scratch.join(name)).expect("an engine"));
    let (in_host, own) = (Ids::new().container, [(); 4].map(|()| Ids::new().container));
    for engine in [&docker, &podman, &rootless] {
        let found = |id: &str, mode: &str| {
            DoubleAnswer::Json(format!(
                r#"{{"Id": "{id}", "HostConfig": {{"PidMode": "{mode}"}}, "Config": {{
                    "Labels": {{"app": "web"}}, "Env": ["TIER=front"], "Image": "shop/web:1"}}}}"#
            ))
        };
        for id in &own {
            engine.answer(&format!("/containers/{id}/json"), found(id, ""));
        }
        engine.answer(&format!("/containers/{in_host}/json"), found(&in_host, "host"));
        engine.answer("/images/shop/web:1/json", DoubleAnswer::Json(r#"{"Id": "sha256:cc"}"#.to_owned()));
    }
    let dir = scratch.path().display();
    let attestor = format!(
        "WorkloadAttestor \"docker\" {{ plugin_data {{\n docker_socket_path = \"unix://{dir}/docker.sock\"\n \
         podman_socket_path = \"unix://{dir}/podman.sock\"\n \
         podman_socket_path_template = \"unix://{dir}/user-%d.sock\"\n}} }}"
    );
    let selectors = ["label:app:web", "env:TIER=front", "image_id:shop/web:1", "image_config_digest:sha256:cc"];
    let selectors = selectors.map(|value| format!("docker:{value}"));
    let selectors: Vec<&str> = selectors.iter().map(String::as_str).collect();
    let world = World::new(&scratch, &attestor, &selectors).await;
    let fetch = world.fetch();
    let fetch = words(&fetch);
    let user = "/user.slice/user-1000.slice/user@1000.service/user.slice";
    let [first, second, third, fourth] = &own;
    for (engine, path) in [
        (&docker, format!("/docker/{first}")),
        (&docker, format!("/system.slice/docker-{second}.scope")),
        (&podman, format!("/machine.slice/libpod-{third}.scope/container")),
        (&rootless, format!("{user}/libpod-{fourth}.scope/container")),
    ] {
        let container = Container::start(&path).await.expect("a container");
        let before = engine.asked().len();
        assert!(has_identity(&container.exec(&fetch).await.expect("it runs")), "{path}");
        assert_eq!(engine.asked().len(), before + 2, "{path}");
        assert!(!has_identity(&container.intrude(&fetch).await.expect("it runs")), "{path}");
    }
    let container = Container::start(&format!("/docker/{in_host}")).await.expect("a container");
    assert!(!has_identity(&container.intrude(&fetch).await.expect("it runs")));
    world.log_says(&format!("container {in_host} is in the host's pid namespace")).await;
}
