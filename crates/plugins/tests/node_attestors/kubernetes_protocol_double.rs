//! `k8s_psat` against a double of the Kubernetes API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use steeple_core::plugin::{AgentNodeAttestor, AttestStatus, NodeAttestor};
use steeple_plugins::k8s_psat::{ClusterSettings, K8sPsatAgent, K8sPsatServer};
use steeple_testkit::{KubernetesApiDouble, ServiceAccountToken, Trouble};

use super::contract::Subject;
use super::conversation::{converse, present, trust_domain};

struct World {
    api: KubernetesApiDouble,
    dir: tempfile::TempDir,
}

fn settings(kube_config_file: PathBuf) -> ClusterSettings {
    ClusterSettings {
        service_account_allow_list: BTreeSet::from(["spire:spire-agent".to_owned()]),
        audience: vec![ClusterSettings::AUDIENCE.to_owned()],
        kube_config_file: Some(kube_config_file),
        allowed_node_label_keys: BTreeSet::new(),
        allowed_pod_label_keys: BTreeSet::new(),
        use_pod_uid_for_agent_id: false,
    }
}

async fn api() -> KubernetesApiDouble {
    let api = KubernetesApiDouble::start().await.unwrap();
    api.put_agent("good");
    api
}

impl World {
    async fn new() -> Self {
        Self { api: api().await, dir: tempfile::tempdir().unwrap() }
    }

    fn server(&self, edit: impl FnOnce(&mut ClusterSettings)) -> K8sPsatServer {
        let mut settings = settings(self.api.write_kubeconfig(self.dir.path()).unwrap());
        edit(&mut settings);
        K8sPsatServer::new(trust_domain(), BTreeMap::from([("test".to_owned(), settings)]))
    }

    fn agent(&self, token: &str) -> Arc<dyn AgentNodeAttestor> {
        let path = self.dir.path().join("token");
        std::fs::write(&path, token).unwrap();
        Arc::new(K8sPsatAgent::new("test".to_owned(), path))
    }
}

pub async fn subject(dir: &Path) -> Subject {
    let api = api().await;
    let (kubeconfig, token_path) = (api.write_kubeconfig(dir).unwrap(), dir.join("token"));
    std::fs::write(&token_path, "good").unwrap();
    Subject {
        name: "k8s_psat",
        server: Box::new(move |trust_domain| {
            let clusters = BTreeMap::from([("test".to_owned(), settings(kubeconfig.clone()))]);
            Arc::new(K8sPsatServer::new(trust_domain, clusters))
        }),
        agent: Arc::new(K8sPsatAgent::new("test".to_owned(), token_path)),
        path: "/k8s_psat/test/node-uid".to_owned(),
        selectors: SELECTORS.iter().map(|&value| value.to_owned()).collect(),
        can_reattest: true,
        malformed: AttestStatus::InvalidArgument,
        is_challenged: false,
        _kept: Box::new(api),
    }
}

/// Sorted, without labels.
const SELECTORS: &[&str] = &[
    "agent_node_ip:172.16.10.1",
    "agent_node_name:node-1",
    "agent_node_uid:node-uid",
    "agent_ns:spire",
    "agent_pod_name:agent-1",
    "agent_pod_uid:pod-uid",
    "agent_sa:spire-agent",
    "cluster:test",
];

async fn refusal(server: &dyn NodeAttestor, token: &str) -> (AttestStatus, String) {
    let payload = json!({ "cluster": "test", "token": token }).to_string();
    let error = present(server, payload.as_bytes(), Vec::new()).await.expect_err(token);
    assert!(!error.message.contains(token), "a token does not stand in messages: {error}");
    (error.status, error.message)
}

#[tokio::test]
async fn allowed_labels_are_selectors_and_a_pod_may_name_the_agent() {
    let world = World::new().await;
    let server = world.server(|settings| {
        settings.allowed_node_label_keys = BTreeSet::from(["zone".to_owned(), "absent".to_owned()]);
        settings.allowed_pod_label_keys = BTreeSet::from(["app".to_owned()]);
        settings.use_pod_uid_for_agent_id = true;
    });
    let (attested, _) = converse(&world.agent("good"), &server).await;
    let attested = attested.unwrap();
    assert_eq!(attested.agent_id.path(), "/spire/agent/k8s_psat/test/pod/pod-uid");
    let labels: Vec<&str> = attested.selectors.iter().map(|selector| selector.value.as_str()).collect();
    let labels: Vec<&str> = labels.into_iter().filter(|value| value.contains("label")).collect();
    assert_eq!(labels, ["agent_node_label:zone:a", "agent_pod_label:app:agent"]);
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused_with_spires_texts() {
    let world = World::new().await;
    let server = world.server(|_| {});
    let missing = |payload: serde_json::Value| {
        let (server, payload) = (&server, payload.to_string());
        async move { present(server, payload.as_bytes(), Vec::new()).await.unwrap_err().message }
    };
    assert_eq!(missing(json!({ "token": "good" })).await, "missing cluster in attestation data");
    assert_eq!(missing(json!({ "cluster": "test" })).await, "missing token in attestation data");
    let other = missing(json!({ "cluster": "other", "token": "good" })).await;
    assert_eq!(other, "not configured for cluster \"other\"");

    let put = |name: &str, edit: &dyn Fn(&mut ServiceAccountToken)| {
        let mut says = ServiceAccountToken::of_agent();
        edit(&mut says);
        world.api.put_token(name, says);
    };
    put("t-audience", &|token| token.audience = "vault".to_owned());
    put("t-account", &|token| token.service_account = "default".to_owned());
    put("t-unbound", &|token| token.pod = None);
    put("t-gone", &|token| token.pod = Some(("agent-2".to_owned(), "u".to_owned())));
    put("t-former", &|token| token.pod = Some(("agent-1".to_owned(), "former-uid".to_owned())));
    put("t-nowhere", &|token| token.pod = Some(("agent-3".to_owned(), "u".to_owned())));
    world.api.put_pod("spire", "agent-3", "u", "node-9", &[]);
    put("t-waiting", &|token| token.pod = Some(("agent-4".to_owned(), "u".to_owned())));
    world.api.put_pod("spire", "agent-4", "u", "", &[]);
    let (denied, internal) = (AttestStatus::PermissionDenied, AttestStatus::Internal);
    let review = "unable to validate token with TokenReview API for cluster \"test\": token review API response \
                  contains an error: [invalid bearer token, ";
    let missing_pod = "failed to get pod from k8s API server for cluster \"test\": unable to query pods API: pods";
    for (token, status, text) in [
        ("t-unknown", internal, review.to_owned()),
        ("t-audience", internal, format!("{review}token audiences [\"vault\"] is invalid")),
        ("t-account", denied, "\"spire:default\" is not an allowed service account for cluster \"test\"".to_owned()),
        (
            "t-unbound",
            internal,
            "failed to get pod name from token review status for cluster \"test\": missing pod name".to_owned(),
        ),
        ("t-gone", internal, format!("{missing_pod} \"agent-2\" not found")),
        (
            "t-former",
            denied,
            "pod UID mismatch for pod \"agent-1\" in cluster \"test\": token bound to pod UID \"former-uid\""
                .to_owned(),
        ),
        (
            "t-nowhere",
            internal,
            "failed to get node from k8s API server for cluster \"test\": unable to query nodes API: nodes \"node-9\" \
             not found"
                .to_owned(),
        ),
        (
            "t-waiting",
            internal,
            "failed to get node from k8s API server for cluster \"test\": empty node name".to_owned(),
        ),
    ] {
        let (got, message) = refusal(&server, token).await;
        assert_eq!(got, status, "{message}");
        assert!(message.starts_with(&text), "{message}");
    }
}

#[tokio::test]
async fn a_token_is_worth_nothing_when_its_pod_is_gone() {
    let world = World::new().await;
    let server = world.server(|_| {});
    let agent = world.agent("good");
    converse(&agent, &server).await.0.unwrap();
    world.api.delete_pod("spire", "agent-1");
    let (status, message) = refusal(&server, "good").await;
    assert_eq!(status, AttestStatus::Internal);
    assert!(message.ends_with("unable to query pods API: pods \"agent-1\" not found"), "{message}");
}

#[tokio::test]
async fn an_api_server_that_knows_no_audiences_is_not_believed() {
    let world = World::new().await;
    world.api.set_trouble(Trouble::KnowsNoAudiences);
    let (status, message) = refusal(&world.server(|_| {}), "good").await;
    assert_eq!(status, AttestStatus::Internal);
    let end = "token review API did not validate audience: wanted one of [\"spire-server\"] but got []";
    assert!(message.ends_with(end), "{message}");
    // Unless none was asked for.
    let any = world.server(|settings| settings.audience.clear());
    converse(&world.agent("good"), &any).await.0.unwrap();
}

#[tokio::test]
async fn an_api_server_in_trouble_costs_little_and_is_asked_again() {
    let world = World::new().await;
    let server = world.server(|_| {});
    let start =
        "unable to validate token with TokenReview API for cluster \"test\": unable to query token review API: ";
    for (trouble, why) in [
        (Trouble::Fails, "etcdserver: request timed out"),
        (Trouble::Endless, "length limit exceeded"),
        (Trouble::Hangs, "no answer within 10 s"),
    ] {
        world.api.set_trouble(trouble);
        let (status, message) = refusal(&server, "good").await;
        assert_eq!(status, AttestStatus::Internal);
        let rest = message.strip_prefix(start).unwrap_or_else(|| panic!("{message}"));
        assert!(rest.contains(why) && rest.len() < 1024, "{trouble:?}: {message}");
        world.api.set_trouble(Trouble::None);
        converse(&world.agent("good"), &server).await.0.unwrap();
    }
    assert!(world.api.endless_bytes() < 50 * 1024 * 1024, "{} bytes were taken", world.api.endless_bytes());
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_is_named() {
    let world = World::new().await;
    let missing = world.server(|settings| settings.kube_config_file = Some("/nonexistent/kubeconfig".into()));
    let (_, message) = refusal(&missing, "good").await;
    assert!(message.contains("unable to get clientset: unable to create client config: "), "{message}");
    assert!(message.contains("/nonexistent/kubeconfig"), "{message}");

    // Another authority, another token: an API server is who its certificate says, and lets in whom it knows.
    let other = World::new().await;
    let path = world.api.write_kubeconfig(world.dir.path()).unwrap();
    let theirs = std::fs::read_to_string(other.api.write_kubeconfig(other.dir.path()).unwrap()).unwrap();
    let ours = std::fs::read_to_string(&path).unwrap();
    let (ours, theirs): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&ours).unwrap(), serde_json::from_str(&theirs).unwrap());
    let (mut root, mut user) = (ours.clone(), ours);
    root["clusters"] = theirs["clusters"].clone();
    root["clusters"][0]["cluster"]["server"] = user["clusters"][0]["cluster"]["server"].clone();
    user["users"][0]["user"]["token"] = json!("another");
    for (config, why) in [(root, "certificate"), (user, "Unauthorized")] {
        let server = world.server(|_| {});
        std::fs::write(&path, config.to_string()).unwrap();
        let (_, message) = refusal(&server, "good").await;
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn an_agent_reads_its_token_each_time_and_as_it_is() {
    let world = World::new().await;
    let server = world.server(|_| {});
    let agent = world.agent("former");
    converse(&agent, &server).await.0.unwrap_err();
    world.agent("good");
    converse(&agent, &server).await.0.unwrap();
    let path = world.dir.path().join("token");
    for (content, why) in
        [(Some(String::new()), "\"/"), (Some("x".repeat(40 * 1024)), "has more than 32768 bytes"), (None, "open /")]
    {
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let error = converse(&agent, &server).await.0.unwrap_err();
        assert_eq!(error.status, AttestStatus::InvalidArgument);
        assert!(error.message.starts_with(&format!("unable to load token from {}: ", path.display())), "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}
