//! Three pods of the StatefulSet are one cluster, and stay it whatever a Kubernetes does with them. The Kubernetes API
//! server is a double.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use steeple_api::steeple::server::StatusResponse;
use steeple_testkit::{Admin, Binaries, KubernetesApiDouble, Scratch, ServiceAccountToken, until};

use super::objects::{folder, the};
use super::pod::{Objects, Pod};
use crate::EVENT_MAX;

const NAMESPACE: &str = "steeple";
const FOUNDING: &str = "steeple-founding";
/// As `docs/kubernetes.md` has it.
const MAKE_KEY: &str = "printf 'steeple-sealing-key-v1:%s\\n' \"$(head -c 32 /dev/urandom | base64)\"";

/// A Kubernetes of sorts: objects, DNS, an API server, and the pods of the servers.
struct Cluster {
    api: KubernetesApiDouble,
    objects: Objects,
    servers: Vec<Pod>,
    binaries: Binaries,
    scratch: Scratch,
    /// Addresses are never given twice.
    addresses: u8,
}

impl Cluster {
    async fn new() -> Self {
        let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
        std::fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
        let api = KubernetesApiDouble::start().await.expect("an API server");
        let object = |name: &str| {
            let path = scratch.join("objects").join(name);
            std::fs::create_dir_all(&path).expect("a directory");
            path
        };
        let api_server = api.write_service_account(&object("service-account"), NAMESPACE).expect("files").to_vec();
        std::fs::copy(folder().join("server/server.conf"), object("steeple-server").join("server.conf"))
            .expect("a copy");
        std::fs::copy(folder().join("agent/agent.conf"), object("steeple-agent").join("agent.conf")).expect("a copy");
        let document = folder().join("../../docs/kubernetes.md");
        assert!(std::fs::read_to_string(document).expect("a document").contains(MAKE_KEY));
        let key = Command::new("sh").arg("-c").arg(MAKE_KEY).output().expect("sh").stdout;
        std::fs::write(object("steeple-sealing-key").join("sealing.key"), key).expect("a key");
        std::fs::write(object("").join("nsswitch.conf"), "hosts: files\n").expect("a file");
        let hosts = scratch.join("hosts");
        std::fs::write(&hosts, "").expect("a file");
        let set: StatefulSet = the("StatefulSet", "steeple-server");
        let set = set.spec.expect("a spec");
        let pod =
            |ordinal| Pod::new(scratch.path(), &format!("steeple-server-{ordinal}"), &set.template, &binaries.server);
        let servers = (0..set.replicas.expect("a number")).map(pod).collect();
        let objects = Objects { folder: scratch.join("objects"), hosts, api_server };
        Self { api, objects, servers, binaries, scratch, addresses: 0 }
    }

    /// At an address that nobody had.
    async fn start(&mut self, ordinal: usize) {
        self.addresses += 1;
        let address = Ipv4Addr::new(127, 10, 244, self.addresses);
        self.servers[ordinal].address = Some(address);
        self.publish_names();
        self.servers[ordinal].start(address, &self.objects).await;
    }

    /// The names of all pods that have had an address, ready or not, and the service with every one of them: the file
    /// is written in place, because each pod sees it through a mount of its own.
    fn publish_names(&self) {
        let named = self.servers.iter().filter_map(|pod| Some((&pod.name, pod.address?)));
        let lines = named.map(|(name, address)| {
            format!("{address} {name}.steeple-server-peers.{NAMESPACE}.svc steeple-server.{NAMESPACE}.svc\n")
        });
        std::fs::write(&self.objects.hosts, lines.collect::<String>()).expect("a file");
    }

    async fn are_probed(&self, ordinals: &[usize], live: u16, ready: u16) {
        for ordinal in ordinals {
            let pod = &self.servers[*ordinal];
            let heard = until("the probes agree", EVENT_MAX, async || {
                match (pod.probe("/live").await, pod.probe("/ready").await) {
                    (Some((one, _)), Some((other, _))) if (one, other) == (live, ready) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            });
            heard.await.unwrap_or_else(|error| panic!("{}", pod.failure(&format!("{error:#}"))));
        }
    }

    /// Waits until it is not ready for a reason with all of `parts`; it is live all the while.
    async fn waits_for(&self, ordinal: usize, parts: &[&str]) {
        let pod = &self.servers[ordinal];
        let said = until("it says what it waits for", EVENT_MAX, async || {
            let (live, ready) = (pod.probe("/live").await, pod.probe("/ready").await);
            let (Some((200, _)), Some((500, text))) = (&live, &ready) else {
                return Err(format!("{live:?} {ready:?}"));
            };
            if parts.iter().all(|part| text.contains(part)) { Ok(()) } else { Err(text.clone()) }
        });
        said.await.unwrap_or_else(|error| panic!("{}", pod.failure(&format!("{error:#}"))));
    }

    fn admin(&self, ordinal: usize) -> Admin {
        Admin::at(&self.servers[ordinal].file("run", "server/api.sock"))
    }

    /// What `ordinal` says when all three vote: node ids by name.
    async fn three_voters(&self, ordinal: usize) -> BTreeMap<String, u64> {
        let admin = self.admin(ordinal);
        let voters = |status: StatusResponse| {
            let voters = status.members.into_iter().filter(|member| member.voter);
            voters.map(|member| (member.name, member.node_id)).collect::<BTreeMap<_, _>>()
        };
        let voting = until("three voters", EVENT_MAX, async || {
            let status = admin.status().await.map_err(|status| status.to_string())?;
            let members = status.members.len();
            let voters = voters(status);
            if (members, voters.len()) == (3, 3) { Ok(voters) } else { Err(format!("{members} with {voters:?}")) }
        });
        voting.await.unwrap_or_else(|error| panic!("{}", self.servers[ordinal].failure(&format!("{error:#}"))))
    }

    async fn roots(&self, ordinal: usize) -> Vec<Vec<u8>> {
        let bundle = self.admin(ordinal).bundle().await.expect("a bundle");
        bundle.x509_authorities.into_iter().map(|root| root.asn1).collect()
    }
}

#[tokio::test]
async fn three_pods_are_one_cluster_wherever_they_are_scheduled() {
    if !in_a_network_of_its_own("three_pods_are_one_cluster_wherever_they_are_scheduled") {
        return;
    }
    let mut cluster = Cluster::new().await;
    // The others have no names yet: perhaps they are members.
    cluster.start(0).await;
    cluster.waits_for(0, &["whether there is one cannot be told", "steeple-server-1", "steeple-server-2"]).await;
    assert_eq!(cluster.api.config_map(NAMESPACE, FOUNDING, "founder"), None);
    cluster.start(1).await;
    cluster.start(2).await;
    cluster.are_probed(&[0, 1, 2], 200, 200).await;
    let members = cluster.three_voters(0).await;
    assert_eq!(members.keys().collect::<Vec<_>>(), ["steeple-server-0", "steeple-server-1", "steeple-server-2"]);
    assert_eq!(cluster.api.config_map(NAMESPACE, FOUNDING, "founder").as_deref(), Some("steeple-server-0"));
    let roots = cluster.roots(2).await;

    // A node is drained: the pod comes back elsewhere with its claim, and is who it was.
    cluster.servers[1].delete().await;
    cluster.start(1).await;
    cluster.are_probed(&[0, 1, 2], 200, 200).await;
    assert_eq!(cluster.three_voters(1).await, members);

    // Two nodes are gone: no quorum, so not ready; a liveness probe that failed would make it worse.
    cluster.servers[1].lose().await;
    cluster.servers[2].lose().await;
    cluster.are_probed(&[0], 200, 500).await;

    // The third one as well, and all come back at new addresses.
    cluster.servers[0].lose().await;
    for ordinal in [2, 1, 0] {
        cluster.start(ordinal).await;
    }
    cluster.are_probed(&[0, 1, 2], 200, 200).await;
    assert_eq!(cluster.three_voters(2).await, members);
    assert_eq!(cluster.roots(0).await, roots);
    agent_attests(&cluster).await;
}

/// With the agent's manifest and configuration, and with what the servers have published.
async fn agent_attests(cluster: &Cluster) {
    let published = until("the bundle is published", EVENT_MAX, async || {
        cluster.api.config_map("steeple-agent", "steeple-bundle", "bundle.spiffe").ok_or("not yet")
    });
    let object = |name: &str, file: &str, text: &str| {
        let path = cluster.objects.folder.join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        std::fs::write(path.join(file), text).expect("a file");
    };
    object("steeple-bundle", "bundle.spiffe", &published.await.expect("a bundle"));
    object("tokens", "spire-agent", "the-token-of-an-agent");
    cluster.api.put_node("node-1", "node-uid", &[]);
    cluster.api.put_pod("steeple-agent", "agent-1", "pod-uid", "node-1", &[]);
    let namespace_and_account = "steeple-agent".to_owned();
    let token = ServiceAccountToken {
        namespace: namespace_and_account.clone(),
        service_account: namespace_and_account,
        ..ServiceAccountToken::of_agent()
    };
    cluster.api.put_token("the-token-of-an-agent", token);

    let set: DaemonSet = the("DaemonSet", "steeple-agent");
    let template: PodTemplateSpec = set.spec.expect("a spec").template;
    let mut agent = Pod::new(cluster.scratch.path(), "agent-1", &template, &cluster.binaries.agent);
    agent.start(Ipv4Addr::new(127, 10, 245, 1), &cluster.objects).await;
    let ready = until("the agent is ready", EVENT_MAX, async || match agent.probe("/ready").await {
        Some((200, _)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    ready.await.unwrap_or_else(|error| panic!("{}", agent.failure(&format!("{error:#}"))));
    assert_eq!(agent.probe("/live").await.map(|(status, _)| status), Some(200));
    let ids = cluster.admin(1).agent_ids("k8s_psat").await.expect("agents");
    assert_eq!(ids[0].path, "/spire/agent/k8s_psat/main/node-uid");
    agent.delete().await;
}

#[tokio::test]
async fn a_lost_claim_of_the_founder_founds_no_second_cluster() {
    if !in_a_network_of_its_own("a_lost_claim_of_the_founder_founds_no_second_cluster") {
        return;
    }
    let mut cluster = Cluster::new().await;
    for ordinal in 0..3 {
        cluster.start(ordinal).await;
    }
    let members = cluster.three_voters(0).await;
    let roots = cluster.roots(0).await;
    for ordinal in 0..3 {
        cluster.servers[ordinal].lose().await;
    }
    // It is back first, on an empty volume, and everybody else's address refuses connections.
    cluster.servers[0].lose_claim();
    cluster.start(0).await;
    let reason = "the data directory is empty, and \\\"steeple-server-0\\\" founded a cluster, as the ConfigMap \
                  steeple/steeple-founding says";
    cluster.waits_for(0, &[reason]).await;

    cluster.start(1).await;
    cluster.start(2).await;
    cluster.are_probed(&[0, 1, 2], 200, 200).await;
    let after = cluster.three_voters(1).await;
    assert_eq!(after.keys().collect::<Vec<_>>(), members.keys().collect::<Vec<_>>());
    let [before, new] = [&members, &after].map(|members| members["steeple-server-0"]);
    assert!(new > before, "an empty disk is a new node: {before} {new}");
    assert_eq!(cluster.roots(0).await, roots);
}

/// Runs `test` of this file again, in a network that has a loopback and nothing else: ports of pods are fixed. True
/// within it; the caller outside has nothing more to do.
fn in_a_network_of_its_own(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshared = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(program);
        command.args(arguments).env(INSIDE, "1").stdin(Stdio::null());
        command
    };
    let probe = unshared(Path::new("true"), &[]).stderr(Stdio::null()).status();
    let merged = std::fs::symlink_metadata("/lib").is_ok_and(|lib| lib.is_symlink());
    if !merged || !probe.is_ok_and(|status| status.success()) {
        println!("not run: {test} needs network and mount namespaces, and an /usr that has it all");
        return false;
    }
    let name = format!("kubernetes::replicas::{test}");
    let this = std::env::current_exe().expect("this program");
    let output = unshared(&this, &["--exact", &name, "--nocapture", "--test-threads=1"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    // Doubles announce themselves, to those who count.
    for announced in said.lines().filter_map(|line| line.find("double: ").map(|at| &line[at..])) {
        println!("{announced}");
    }
    assert!(output.status.success() && said.contains("1 passed"), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

const INSIDE: &str = "STEEPLE_NETWORK_OF_PODS";
