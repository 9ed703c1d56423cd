//! The kubelet client against a double of a kubelet, over real sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use steeple_api::any::pack;
use steeple_api::broker::{KubernetesObjectKey, KubernetesObjectReference, KubernetesObjectType, WorkloadPidReference};
use steeple_core::plugin::{ReferenceError, WorkloadAttestor as _, WorkloadReference};
use steeple_core::{Clock, SpiffeId, SystemClock};
use steeple_testkit::{DoubleAnswer, KubeletDouble, KubernetesApiDouble, Trouble};
use tempfile::TempDir;
use tonic::Code;

use super::kubelet::Kubelet;
use super::pod_lists::PodLists;
use super::{
    ApiServer, BrokerAccess, K8sAttestor, K8sSettings, KubeletAccess, KubeletAuthentication, KubeletError,
    KubeletSettings,
};
use crate::container::{HostPid, Locator};

const ONE_POD: &str = r#"{"items": [{"metadata": {"uid": "u1", "name": "p"}}]}"#;

struct World {
    dir: TempDir,
    kubelet: KubeletDouble,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kubelet = KubeletDouble::start(dir.path()).await.unwrap();
        kubelet.answer(DoubleAnswer::Json(ONE_POD.to_owned()));
        Self { dir, kubelet }
    }

    fn token(&self) -> KubeletAuthentication {
        KubeletAuthentication::TokenFile(self.kubelet.files().token.clone())
    }

    fn certificate(&self) -> KubeletAuthentication {
        let files = self.kubelet.files().clone();
        KubeletAuthentication::Certificate { certificate_path: files.certificate, key_path: files.key }
    }

    fn settings(&self, node_name: Option<&str>, ca: Option<&Path>, by: KubeletAuthentication) -> KubeletSettings {
        let access = KubeletAccess::Secure {
            node_name: node_name.map(ToOwned::to_owned),
            ca_path: ca.map(ToOwned::to_owned),
            authentication: by,
        };
        KubeletSettings { port: self.kubelet.port(), access, reload_interval: Duration::from_secs(60) }
    }

    async fn ask(&self, settings: &KubeletSettings) -> Result<usize, KubeletError> {
        Ok(Kubelet::load(settings, &clock())?.pods().await?.pods.len())
    }

    /// Under a name, with the right authority.
    async fn ask_by(&self, by: KubeletAuthentication) -> Result<usize, KubeletError> {
        let ca = self.kubelet.files().ca.clone();
        self.ask(&self.settings(Some("localhost"), Some(&ca), by)).await
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

#[tokio::test]
async fn the_four_ways_of_authentication() {
    let world = World::new().await;
    assert_eq!(world.ask_by(world.token()).await.unwrap(), 1);
    assert_eq!(world.ask_by(world.certificate()).await.unwrap(), 1);
    let refused = world.ask_by(KubeletAuthentication::Anonymous).await.unwrap_err();
    assert_eq!(refused.to_string(), "unexpected status code on pods response: 401 Unauthorized");
    world.kubelet.allow_anonymous();
    assert_eq!(world.ask_by(KubeletAuthentication::Anonymous).await.unwrap(), 1);
    let read_only = KubeletSettings {
        port: world.kubelet.read_only_port(),
        access: KubeletAccess::ReadOnly,
        reload_interval: Duration::from_secs(60),
    };
    assert_eq!(world.ask(&read_only).await.unwrap(), 1);
}

#[tokio::test]
async fn whoever_vouches_for_the_kubelet_decides_and_its_name_where_one_is_given() {
    let world = World::new().await;
    let ca = world.kubelet.files().ca.clone();
    let ask = async |name: Option<&str>, ca: Option<&Path>| world.ask(&world.settings(name, ca, world.token())).await;
    // The certificate names no address, and without a name it need not.
    assert_eq!(ask(None, Some(&ca)).await.unwrap(), 1);
    let misnamed = ask(Some("127.0.0.1"), Some(&ca)).await.unwrap_err().to_string();
    assert!(misnamed.contains("not valid for name"), "{misnamed}");
    // Somebody's certificate, but not the authority's.
    let stranger = world.file("other-ca.pem", &std::fs::read_to_string(&world.kubelet.files().certificate).unwrap());
    let unknown = ask(None, Some(&stranger)).await.unwrap_err().to_string();
    assert!(unknown.contains("invalid peer certificate: "), "{unknown}");
    assert_eq!(ask(None, None).await.unwrap(), 1, "skip_kubelet_verification");
    assert_eq!(ask(Some("localhost"), None).await.unwrap(), 1, "skip_kubelet_verification");
}

#[tokio::test]
async fn credentials_that_cannot_be_used_are_named() {
    let world = World::new().await;
    let files = world.kubelet.files().clone();
    let load = |name: Option<&str>, ca: &Path, by| {
        let settings = world.settings(name, Some(ca), by);
        Kubelet::load(&settings, &clock()).map(|_| ()).unwrap_err().to_string()
    };
    let missing = world.dir.path().join("missing");
    assert!(load(None, &missing, world.token()).starts_with("unable to load kubelet CA "));
    let nothing = world.file("nothing.pem", "nothing");
    assert!(load(None, &nothing, world.token()).contains("no certificate in it can be used"));
    assert!(load(Some("a b"), &files.ca, world.token()).contains("correct node_name"));
    let token = |path: &Path| KubeletAuthentication::TokenFile(path.to_owned());
    assert!(load(None, &files.ca, token(&missing)).starts_with("unable to load token "));
    assert!(load(None, &files.ca, token(&world.file("bad-token", "a\nb"))).contains("holds characters"));
    let long = world.file("long-token", &"x".repeat(2 << 20));
    assert!(load(None, &files.ca, token(&long)).contains("has more than 1048576 bytes"));
    let mismatch = KubeletAuthentication::Certificate { certificate_path: files.certificate, key_path: nothing };
    assert!(load(None, &files.ca, mismatch).starts_with("unable to load keypair: "));
}

#[tokio::test]
async fn a_kubelet_that_lies_hangs_or_floods_is_told_apart() {
    let world = World::new().await;
    let says = async |answer: DoubleAnswer| {
        world.kubelet.answer(answer);
        world.ask_by(world.token()).await.unwrap_err().to_string()
    };
    let flood = says(DoubleAnswer::Endless(100 << 20)).await;
    assert_eq!(flood, "unable to perform request: the answer has more than 33554432 bytes");
    let no_json = says(DoubleAnswer::Json("<html>".to_owned())).await;
    assert!(no_json.starts_with("unable to parse kubelet response: "), "{no_json}");
    let no_list = says(DoubleAnswer::Json(r#"{"kind": "Status"}"#.to_owned())).await;
    assert!(no_list.contains("missing field `items`"), "{no_list}");
    let failure = says(DoubleAnswer::Status(500, "x".repeat(5000))).await;
    assert!(failure.starts_with("unexpected status code on pods response: 500 xxx") && failure.len() < 1200);
    let garbage = says(DoubleAnswer::Garbage).await;
    assert!(garbage.starts_with("unable to perform request: "), "{garbage}");
    let hang = says(DoubleAnswer::Hang).await;
    assert_eq!(hang, "unable to perform request: the kubelet gave no complete answer within 10 s");
}

#[tokio::test]
async fn many_who_wait_share_a_request() {
    let world = World::new().await;
    let settings = world.settings(None, None, world.token());
    // The interval is longer than the test, so a list stays fresh.
    let lists = PodLists::new(settings, Duration::from_secs(3600), clock()).unwrap();
    let all = join_all((0..200).map(|_| lists.newer_than(0))).await;
    assert!(all.into_iter().all(|outcome| outcome.unwrap().number == 1));
    assert_eq!(lists.newer_than(0).await.unwrap().number, 1);
    assert_eq!(world.kubelet.requests(), 1);
}

#[tokio::test]
async fn who_looked_in_vain_waits_for_a_newer_list() {
    let world = World::new().await;
    let settings = world.settings(None, None, world.token());
    let lists = PodLists::new(settings, Duration::from_millis(50), clock()).unwrap();
    let wait = async || {
        let mut number = 0;
        for round in 1..=4 {
            let newer = lists.newer_than(number).await.unwrap();
            assert!(newer.number > number, "round {round}");
            number = newer.number;
        }
    };
    let started = std::time::Instant::now();
    join_all((0..50).map(|_| wait())).await;
    // However slow the machine is, two starts are at least an interval apart.
    let requests = u32::try_from(world.kubelet.requests()).unwrap();
    assert!(requests >= 4 && started.elapsed() >= Duration::from_millis(50) * (requests - 1), "{requests}");
}

#[tokio::test]
async fn a_failure_is_shared_and_the_next_request_may_succeed() {
    let world = World::new().await;
    world.kubelet.answer(DoubleAnswer::Status(503, "starting".to_owned()));
    let settings = world.settings(None, None, world.token());
    let lists = PodLists::new(settings, Duration::from_millis(1), clock()).unwrap();
    let failed = join_all((0..20).map(|_| lists.newer_than(0))).await;
    assert!(failed.iter().all(Result::is_err));
    assert!(lists.last_failure().unwrap().to_string().contains("503 starting"));
    world.kubelet.answer(DoubleAnswer::Json(ONE_POD.to_owned()));
    assert_eq!(lists.newer_than(0).await.unwrap().list.pods.len(), 1);
    assert!(lists.last_failure().is_none());
}

#[tokio::test]
async fn a_token_that_changed_is_read_again() {
    let world = World::new().await;
    let settings =
        KubeletSettings { reload_interval: Duration::from_nanos(1), ..world.settings(None, None, world.token()) };
    let lists = PodLists::new(settings, Duration::from_millis(1), clock()).unwrap();
    let first = lists.newer_than(0).await.unwrap().number;
    world.kubelet.change_token("another").unwrap();
    assert!(lists.newer_than(first).await.is_ok());
    std::fs::remove_file(&world.kubelet.files().token).unwrap();
    let error = lists.newer_than(u64::MAX).await.err().unwrap().to_string();
    assert!(error.starts_with("unable to load token "), "{error}");
}

const BROKER: &str = "spiffe://example.org/broker";
const TWO_PODS: &str = r#"{"items": [
    {"metadata": {"uid": "u1", "name": "web", "namespace": "shop", "labels": {"app": "web"}}},
    {"metadata": {"uid": "u2", "name": "db", "namespace": "shop"}}
]}"#;

impl World {
    /// Which answers `brokers`.
    fn attestor(&self, brokers: Option<BrokerAccess>) -> K8sAttestor {
        self.kubelet.answer(DoubleAnswer::Json(TWO_PODS.to_owned()));
        let settings = K8sSettings {
            kubelet: self.settings(None, None, self.token()),
            poll_attempts_max: 1,
            // No list stays fresh.
            poll_interval: Duration::from_nanos(1),
            disable_container_selectors: false,
            namespace_labels: None,
            brokers,
            locator: Locator::New { verbose: false },
            host_pid: HostPid::Refuse,
        };
        K8sAttestor::new(settings, clock()).unwrap()
    }
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn access(review: Option<ApiServer>) -> Option<BrokerAccess> {
    Some(BrokerAccess { brokers: [id(BROKER)].into(), review })
}

fn to_pod(name: &str, uid: &str) -> WorkloadReference {
    let key = KubernetesObjectKey { namespace: "shop".to_owned(), name: name.to_owned() };
    let any = pack(&KubernetesObjectReference {
        r#type: Some(KubernetesObjectType { plural: "pods".to_owned(), group: "core".to_owned() }),
        key: (!name.is_empty()).then_some(key),
        uid: uid.to_owned(),
    });
    WorkloadReference { type_url: any.type_url, value: any.value, caller: id(BROKER) }
}

/// The values of the selectors, or code and text of the refusal.
async fn referred(attestor: &K8sAttestor, reference: &WorkloadReference) -> Result<Vec<String>, (Code, String)> {
    match attestor.attest_reference(reference).await {
        Ok(selectors) => Ok(selectors.into_iter().map(|selector| selector.value).collect()),
        Err(ReferenceError::Refused { code, message }) => Err((Code::from_i32(code), message)),
        Err(ReferenceError::Unread) => panic!("all references are read"),
    }
}

fn refused(code: Code, name: &str, text: &str) -> Result<Vec<String>, (Code, String)> {
    Err((code, format!("rpc error: code = {name} desc = workloadattestor(k8s): {text}")))
}

#[tokio::test]
async fn a_broker_refers_to_pods_of_the_kubelets_list() {
    let world = World::new().await;
    let attestor = world.attestor(access(None));
    for reference in [to_pod("web", ""), to_pod("", "u1"), to_pod("web", "u1")] {
        let values = referred(&attestor, &reference).await.unwrap();
        for value in ["ns:shop", "pod-name:web", "pod-uid:u1", "pod-label:app:web"] {
            assert!(values.iter().any(|found| found == value), "{value}: {values:?}");
        }
    }
    let gone = "pod shop/x not found on agent node";
    assert_eq!(referred(&attestor, &to_pod("x", "")).await, refused(Code::NotFound, "NotFound", gone));
    let other = "pod shop/web has UID u1, expected u2";
    assert_eq!(referred(&attestor, &to_pod("web", "u2")).await, refused(Code::NotFound, "NotFound", other));
    let stranger = WorkloadReference { caller: id("spiffe://example.org/other"), ..to_pod("web", "") };
    let text = "broker \"spiffe://example.org/other\" is not configured";
    assert_eq!(referred(&attestor, &stranger).await, refused(Code::PermissionDenied, "PermissionDenied", text));

    // A process in no container has no selectors here, and is nobody's failure.
    let any = pack(&WorkloadPidReference { pid: i32::try_from(std::process::id()).unwrap() });
    let own = WorkloadReference { type_url: any.type_url, value: any.value, caller: id(BROKER) };
    let in_container = attestor.values(i32::try_from(std::process::id()).unwrap()).await;
    assert_eq!(referred(&attestor, &own).await.ok(), in_container.ok());

    world.kubelet.answer(DoubleAnswer::Status(503, "starting".to_owned()));
    let text = "unexpected status code on pods response: 503 starting";
    assert_eq!(referred(&attestor, &to_pod("web", "")).await, refused(Code::Unavailable, "Unavailable", text));
}

#[tokio::test]
async fn without_a_block_for_brokers_none_is_answered() {
    let world = World::new().await;
    let attestor = world.attestor(None);
    let unknown = WorkloadReference { type_url: "x".to_owned(), ..to_pod("web", "") };
    for reference in [to_pod("web", ""), unknown] {
        let missing = refused(Code::Internal, "Internal", "broker configuration missing");
        assert_eq!(referred(&attestor, &reference).await, missing);
    }
    assert_eq!(world.kubelet.requests(), 0);
}

#[tokio::test]
async fn where_access_is_enforced_kubernetes_decides_for_each_pod() {
    let world = World::new().await;
    let api = KubernetesApiDouble::start().await.unwrap();
    let [(_, host), (_, port)] = api.write_service_account(world.dir.path(), "spire").unwrap();
    let path = |name: &str| world.dir.path().join(name);
    let server = ApiServer { address: format!("{host}:{port}"), ca_path: path("ca.crt"), token_path: path("token") };
    let attestor = world.attestor(access(Some(server)));
    api.allow_impersonation(BROKER, "shop", "web");
    assert!(referred(&attestor, &to_pod("web", "")).await.is_ok());
    assert!(referred(&attestor, &to_pod("", "u1")).await.is_ok(), "by its name, however it is referred to");
    let text = "Kubernetes authorizer does not allow the broker to use impersonate-via-spire for the referenced object";
    let denied = refused(Code::PermissionDenied, "PermissionDenied", text);
    assert_eq!(referred(&attestor, &to_pod("db", "")).await, denied);

    for (trouble, part) in [
        (Trouble::Forbids, "needs `create` on subjectaccessreviews.authorization.k8s.io"),
        (Trouble::Fails, "the API server answered 500"),
        (Trouble::Endless, "the answer has more than 2097152 bytes"),
    ] {
        api.set_trouble(trouble);
        let (code, text) = referred(&attestor, &to_pod("web", "")).await.unwrap_err();
        let begin = "workloadattestor(k8s): unable to check Kubernetes authorization for broker: ";
        assert!(code == Code::Internal && text.contains(begin) && text.contains(part), "{text}");
    }
}
