//! Node attestors between real programs: the agent attests, and workloads get their identities by what was found out
//! about its node. Half of a pair may be stock SPIRE's (`STOCK_SPIRE_AGENT`, `STOCK_SPIRE_SERVER`).

use std::path::PathBuf;
use std::time::Duration;

use steeple_api::types;
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, DevIdAuthority, DevIdKind, ExtraLines, KubernetesApiDouble, Scratch,
    Server, ServerSpec, SoftTpm, SshCertificateAuthority, WorkloadStream, named_program, own_uid_selector, until,
    workload_entry,
};

const TRUST_DOMAIN: &str = "example.org";
/// A sync every five seconds, a retry: all within this, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(90);

/// What a node is and how it proves it.
struct Node {
    attestor: &'static str,
    /// Inside the `plugin_data { }` of the agent.
    data: String,
    /// A `plugins` block of the server.
    server_block: String,
    /// What its agent's ID begins with, behind the trust domain.
    path: String,
    /// Of the node, for an alias; none: entries name the agent itself.
    selectors: &'static [&'static str],
    /// Whether an agent that lost everything is let in again.
    can_reattest: bool,
}

async fn serves_its_workloads(binaries: &Binaries, scratch: Scratch, node: Node) {
    let spec = ServerSpec {
        name: "server".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "DEBUG".to_owned(),
        env: Vec::new(),
    };
    let extra = ExtraLines { plugins: node.server_block.clone(), ..ExtraLines::default() };
    let mut server = Server::start_with(binaries, scratch.path(), &spec, &extra).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
    let blocks: Vec<pem::Pem> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
    let trust_bundle = scratch.join("bundle.pem");
    std::fs::write(&trust_bundle, pem::encode_many(&blocks)).expect("a file");

    let spec = AgentSpec {
        name: "agent".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        servers: vec![server.api_address()],
        trust_bundle,
        attestation: Attestation::Plugin { name: node.attestor.to_owned(), data: node.data.clone() },
        log_level: "DEBUG".to_owned(),
        lines: Vec::new(),
    };
    let mut agent = Agent::start(binaries, scratch.path(), &spec).expect("the agent starts");
    agent.ready().await.expect("the agent attests");
    let [id] = <[types::Spiffeid; 1]>::try_from(server.admin().agent_ids(node.attestor).await.expect("a list"))
        .expect("one agent");
    assert!(id.path.starts_with(&node.path), "{} does not begin with {}", id.path, node.path);

    let parent = match node.selectors {
        [] => id.clone(),
        values => {
            let selector =
                |value: &&str| types::Selector { r#type: node.attestor.to_owned(), value: (*value).to_owned() };
            let root = types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: "/spire/server".to_owned() };
            let alias = workload_entry("", &root, "/nodes", values.iter().map(selector).collect());
            server.admin().create_entry(alias).await.expect("an alias").spiffe_id.expect("its ID")
        }
    };
    server.admin().create_entry(workload_entry("", &parent, "/web", vec![own_uid_selector()])).await.expect("an entry");
    identity(&agent).await;

    // A node that lost its disk.
    agent.process_mut().kill9().await.expect("it ends");
    std::fs::remove_dir_all(agent.data_dir()).expect("it is there");
    std::fs::create_dir_all(agent.data_dir()).expect("a directory");
    agent.restart(binaries).expect("it starts");
    if node.can_reattest {
        identity(&agent).await;
        assert_eq!(server.admin().agent_ids(node.attestor).await.expect("a list"), [id]);
        agent.stop().await.expect("an orderly end");
    } else {
        let ended = tokio::time::timeout(EVENT_MAX, agent.process_mut().exited()).await.expect("it ends by itself");
        assert_eq!(ended.expect("a status").code(), Some(1));
        let log = agent.log().expect("a log");
        assert!(log.contains("attestation data has already been used to attest an agent"), "{log}");
    }
    server.stop().await.expect("an orderly end");
    scratch.remove().expect("nothing is in the way");
}

async fn identity(agent: &Agent) {
    let served = until("an identity", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for("spiffe://example.org/web", EVENT_MAX).await
    });
    served.await.expect("an SVID");
}

async fn in_kubernetes(binaries: &Binaries) {
    let scratch = Scratch::new().expect("a directory");
    let api = KubernetesApiDouble::start().await.expect("an API server");
    api.put_agent("good");
    let token_path = scratch.join("token");
    std::fs::write(&token_path, "good").expect("a token");
    let node = Node {
        attestor: "k8s_psat",
        data: format!("cluster = \"test\"\ntoken_path = {token_path:?}"),
        server_block: api.server_block(scratch.path()).expect("a kubeconfig"),
        path: "/spire/agent/k8s_psat/test/node-uid".to_owned(),
        selectors: &["agent_ns:spire", "agent_sa:spire-agent", "agent_node_label:zone:a"],
        can_reattest: true,
    };
    serves_its_workloads(binaries, scratch, node).await;
}

async fn with_an_ssh_certificate(binaries: &Binaries, kind: &str) {
    let scratch = Scratch::new().expect("a directory");
    let made = SshCertificateAuthority::new(scratch.path(), "ca", "ed25519").expect("ssh-keygen");
    let Some(authority) = made else { return };
    let host = authority.issue(scratch.path(), "host", kind, "-h -n host.test").expect("a certificate");
    let node = Node {
        attestor: "sshpop",
        data: format!("host_key_path = {:?}\nhost_cert_path = {:?}", host.key_path, host.certificate_path),
        server_block: authority.server_block(),
        path: "/spire/agent/sshpop/".to_owned(),
        selectors: &[],
        can_reattest: true,
    };
    serves_its_workloads(binaries, scratch, node).await;
}

/// A stock agent opens a Unix socket as ours does.
async fn with_a_tpm(binaries: &Binaries, kind: DevIdKind) {
    let scratch = Scratch::new().expect("a directory");
    let Some(mut tpm) = SoftTpm::start(scratch.path(), "tpm").await.expect("swtpm") else { return };
    let root = DevIdAuthority::new(scratch.path(), "devices").expect("an authority");
    let authority = root.intermediate("site").expect("an authority");
    tpm.set_owner_password("owner").expect("a password");
    let devid = tpm.provision(scratch.path(), "device", &authority, kind, "secret").expect("a key");
    let node = Node {
        attestor: "tpm_devid",
        data: tpm.agent_data(&devid),
        server_block: tpm.server_block(&root),
        path: "/spire/agent/tpm_devid/".to_owned(),
        selectors: &["subject:cn:device", "issuer:cn:site"],
        can_reattest: true,
    };
    serves_its_workloads(binaries, scratch, node).await;
}

async fn by_its_host_name(binaries: &Binaries) {
    let node = Node {
        attestor: "http_challenge",
        data: "hostname = \"127.0.0.1\"".to_owned(),
        server_block: "NodeAttestor \"http_challenge\" {\n plugin_data {\n allowed_dns_patterns = [\"^127\"]\n }\n}\n"
            .to_owned(),
        path: "/spire/agent/http_challenge/127.0.0.1".to_owned(),
        selectors: &["hostname:127.0.0.1"],
        can_reattest: false,
    };
    serves_its_workloads(binaries, Scratch::new().expect("a directory"), node).await;
}

fn ours() -> Binaries {
    Binaries::find().expect("our programs")
}

fn with_stock_agent() -> Option<Binaries> {
    named_program("STOCK_SPIRE_AGENT").map(|agent: PathBuf| Binaries { agent, ..ours() })
}

fn with_stock_server() -> Option<Binaries> {
    named_program("STOCK_SPIRE_SERVER").map(|server: PathBuf| Binaries { server, ..ours() })
}

#[tokio::test]
async fn a_pod_of_a_kubernetes_protocol_double() {
    in_kubernetes(&ours()).await;
}

#[tokio::test]
async fn a_host_with_an_ssh_certificate() {
    with_an_ssh_certificate(&ours(), "rsa -b 2048").await;
}

#[tokio::test]
async fn a_device_with_a_tpm() {
    for kind in [DevIdKind::Rsa, DevIdKind::P256] {
        with_a_tpm(&ours(), kind).await;
    }
}

#[tokio::test]
async fn a_host_that_answers_to_its_name() {
    by_its_host_name(&ours()).await;
}

#[tokio::test]
async fn stock_agents_attest_to_our_server() {
    let Some(binaries) = with_stock_agent() else { return };
    for kind in ["rsa -b 2048", "ed25519", "ecdsa -b 384"] {
        with_an_ssh_certificate(&binaries, kind).await;
    }
    with_a_tpm(&binaries, DevIdKind::Rsa).await;
    with_a_tpm(&binaries, DevIdKind::P256).await;
    by_its_host_name(&binaries).await;
}

#[tokio::test]
async fn our_agents_attest_to_a_stock_server() {
    let Some(binaries) = with_stock_server() else { return };
    for kind in ["rsa -b 2048", "ed25519", "ecdsa -b 384"] {
        with_an_ssh_certificate(&binaries, kind).await;
    }
    with_a_tpm(&binaries, DevIdKind::Rsa).await;
    with_a_tpm(&binaries, DevIdKind::P256).await;
    by_its_host_name(&binaries).await;
}

#[tokio::test]
async fn a_stock_half_and_a_kubernetes_protocol_double() {
    for binaries in [with_stock_agent(), with_stock_server()].into_iter().flatten() {
        in_kubernetes(&binaries).await;
    }
}
