//! Pods that a broker refers to, with a double of the node's kubelet.

use steeple_api::types::Selector;
use steeple_testkit::{DoubleAnswer, KubeletDouble, Scratch, workload_entry};
use tonic::Code;

use crate::site::*;
use crate::{BROKER, HOUR_SECS, of};

const OTHER_BROKER: &str = "spiffe://example.org/other";
const POD_REFERENCE: &str = "type.googleapis.com/spiffe.broker.KubernetesObjectReference";

fn pods(names: &[(&str, &str)]) -> DoubleAnswer {
    let items = names.iter().map(|(name, uid)| {
        let metadata = format!(r#"{{"name": "{name}", "namespace": "shop", "uid": "{uid}"}}"#);
        format!(r#"{{"metadata": {metadata}, "spec": {{"serviceAccountName": "{name}"}}}}"#)
    });
    DoubleAnswer::Json(format!(r#"{{"kind": "PodList", "items": [{}]}}"#, items.collect::<Vec<_>>().join(",")))
}

#[tokio::test]
async fn a_broker_gets_the_identity_of_a_pod_that_it_refers_to() {
    let scratch = Scratch::new().expect("a directory");
    let kubelet = KubeletDouble::start(scratch.path()).await.expect("a double");
    kubelet.answer(pods(&[("web", "u1"), ("db", "u2")]));
    let files = kubelet.files();
    let k8s = format!(
        "WorkloadAttestor \"k8s\" {{ plugin_data {{\n kubelet_secure_port = {}\n kubelet_ca_path = {:?}\n \
         token_path = {:?}\n node_name_env = \"STEEPLE_TEST_NO_SUCH_VARIABLE\"\n poll_retry_interval = \"1ms\"\n \
         experimental {{ broker {{ access_policy = \"permissive\" brokers = [ {{ id = {BROKER:?} }} ] }} }}\n}} }}",
        kubelet.port(),
        files.ca,
        files.token
    );
    let types = format!("allowed_reference_types = [ {{ type_url = {POD_REFERENCE:?} allow_over_tcp = true }} ]");
    let brokers = format!("{{ id = {BROKER:?} {types} }}, {{ id = {OTHER_BROKER:?} {types} }}");
    let mut site = Site::with(&brokers, &[k8s]).await;
    let of_account = |name: &str| vec![Selector { r#type: "k8s".to_owned(), value: format!("sa:{name}") }];
    site.create(workload_entry("", &site.parent(), "/web", of_account("web"))).await;
    site.create(workload_entry("", &site.parent(), "/db", of_account("db"))).await;

    let broker = site.broker(&site.server, BROKER, HOUR_SECS).await;
    let clients = [site.over_socket(&broker), site.over_tcp(&broker)];
    let named = [(0, by_pod("shop", "web", "")), (0, by_pod("shop", "web", "u1")), (1, by_pod("", "", "u1"))];
    for (at, reference) in named {
        let mut stream = subscribe(&clients[at], reference).await.expect("a stream");
        assert_eq!(with(&mut stream, 1).await.svids[0].spiffe_id, "spiffe://example.org/web");
    }
    let client = &clients[0];
    let said = |text: &str, code: &str| {
        format!("workload attestor \"k8s\" failed: rpc error: code = {code} desc = workloadattestor(k8s): {text}")
    };
    for (reference, code, name, text) in [
        (by_pod("shop", "mail", ""), Code::NotFound, "NotFound", "pod shop/mail not found on agent node"),
        (by_pod("shop", "web", "u2"), Code::NotFound, "NotFound", "pod shop/web has UID u1, expected u2"),
        (by_pod("", "", "u3"), Code::NotFound, "NotFound", "pod with UID u3 not found on agent node"),
        (
            by_pod("", "web", ""),
            Code::InvalidArgument,
            "InvalidArgument",
            "namespace is required when name is set for a namespaced resource",
        ),
    ] {
        let refused = subscribe(client, reference).await.expect_err("no such pod");
        assert_eq!(of(&refused), (code, said(text, name).as_str()));
    }
    // The agent lets it in, the attestor does not.
    let other = site.broker(&site.server, OTHER_BROKER, HOUR_SECS).await;
    let refused = subscribe(&site.over_socket(&other), by_pod("shop", "web", "")).await.expect_err("not named there");
    let text = said(&format!("broker {OTHER_BROKER:?} is not configured"), "PermissionDenied");
    assert_eq!(of(&refused), (Code::PermissionDenied, text.as_str()));

    // Another pod of the same name has come in its place.
    kubelet.answer(pods(&[("web", "u9")]));
    let refused = subscribe(client, by_pod("shop", "web", "u1")).await.expect_err("it is gone");
    let text = said("pod shop/web has UID u9, expected u1", "NotFound");
    assert_eq!(of(&refused), (Code::NotFound, text.as_str()));
    site.agent.stop().await.expect("it stops");
}
