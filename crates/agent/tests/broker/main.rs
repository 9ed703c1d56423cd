//! The SPIFFE Broker API: this test is the broker, over a socket and over TCP, with real servers and a real agent.

mod pods;
mod site;

use std::time::Duration;

use steeple_api::broker::{
    FetchJwtsvidRequest, SubscribeToJwtBundlesRequest, SubscribeToX509BundlesRequest, SubscribeToX509svidRequest,
    WorkloadReference,
};
use steeple_api::server::bundle::BatchSetFederatedBundleRequest;
use steeple_api::types::Entry;
use steeple_ca::certificate;
use steeple_core::Secret;
use steeple_testkit::{Binaries, own_uid_selector, until, workload_entry};
use tonic::{Code, Status};

use site::*;

const TRUST_DOMAIN: &str = "example.org";
const OTHER: &str = "other.org";
const BROKER: &str = "spiffe://example.org/broker";
const HOUR_SECS: i32 = 3600;
/// A sync every five seconds, a retry: all within this, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(90);

fn of(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

/// Rather than an answer to the call.
fn is_of_the_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

#[tokio::test]
async fn a_broker_follows_a_workloads_svids_tokens_and_bundles() {
    let allowed = format!("allowed_reference_types = [{{ type_url = {PID_REFERENCE:?} }}]");
    let mut site = Site::new(&format!("{{ id = {BROKER:?} {allowed} }}")).await;
    let broker = site.broker(&site.server, BROKER, HOUR_SECS).await;
    let client = site.over_socket(&broker);
    let workload = Workload::start();
    let mut stream = subscribe(&client, workload.reference()).await.expect("a stream");
    assert!(with(&mut stream, 0).await.svids.is_empty(), "nothing is an answer too");

    let admin = workload_entry("", &site.parent(), "/admin", vec![own_uid_selector()]);
    site.create(Entry { admin: true, ..admin }).await;
    let web = workload_entry("", &site.parent(), "/web", vec![own_uid_selector()]);
    let web = site.create(Entry { x509_svid_ttl: 20, ..web }).await;
    let first = with(&mut stream, 1).await.svids.remove(0);
    assert_eq!(first.spiffe_id, "spiffe://example.org/web", "rights on the server are for nobody else");
    let (_, leaf) = x509_parser::parse_x509_certificate(&first.x509_svid).expect("a certificate");
    let facts = certificate::facts(&first.x509_svid[..leaf_bytes(&first.x509_svid)]).expect("a leaf");
    let key = steeple_ca::SigningKey::from_pkcs8(&Secret::new(first.x509_svid_key.clone())).expect("a key");
    assert_eq!((facts.public_key, leaf.subject().to_string().is_empty()), (key.public_key().spki().to_vec(), false));
    let roots = site.server.admin().bundle().await.expect("a bundle");
    let ders: Vec<u8> = roots.x509_authorities.iter().flat_map(|root| root.asn1.clone()).collect();
    assert_eq!(first.bundle, ders);
    let renewed = until("a renewal", EVENT_MAX, async || {
        let next = stream.message().await?.expect("no end").svids.remove(0);
        if next.x509_svid_key == first.x509_svid_key { Err(Status::not_found("the old one")) } else { Ok(()) }
    });
    renewed.await.expect("another key");

    // Tokens: those of one identity where one is asked for, which SPIRE ignores.
    let other = site.create(workload_entry("", &site.parent(), "/other", vec![own_uid_selector()])).await;
    with(&mut stream, 2).await;
    let fetch = async |spiffe_id: &str| {
        let audience = vec!["api".to_owned()];
        let request =
            FetchJwtsvidRequest { reference: workload.reference(), audience, spiffe_id: spiffe_id.to_owned() };
        let answer = client.clone().fetch_jwtsvid(call(request)).await?.into_inner();
        Ok::<Vec<String>, Status>(answer.svids.into_iter().map(|svid| svid.spiffe_id).collect())
    };
    assert_eq!(fetch("").await.expect("tokens").len(), 2, "none of the administrator's");
    assert_eq!(fetch("spiffe://example.org/other").await.expect("a token"), ["spiffe://example.org/other"]);
    let refused = fetch("spiffe://example.org/nobody").await.expect_err("nobody's");
    assert_eq!(of(&refused), (Code::PermissionDenied, "no identity issued"));
    let refused = fetch("nonsense").await.expect_err("no ID");
    assert!(refused.message().starts_with("invalid requested SPIFFE ID: "), "{refused}");
    let request = FetchJwtsvidRequest { reference: workload.reference(), ..FetchJwtsvidRequest::default() };
    let refused = client.clone().fetch_jwtsvid(call(request)).await.expect_err("for nobody");
    assert_eq!(of(&refused), (Code::InvalidArgument, "audience must be specified"));

    let request = SubscribeToX509BundlesRequest { reference: workload.reference() };
    let mut bundles = client.clone().subscribe_to_x509_bundles(call(request)).await.expect("a stream");
    let shown = bundles.get_mut().message().await.expect("no error").expect("no end").bundles;
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), [("spiffe://example.org".to_owned(), ders)]);
    let request = SubscribeToJwtBundlesRequest { reference: workload.reference() };
    let mut bundles = client.clone().subscribe_to_jwt_bundles(call(request)).await.expect("a stream");
    let shown = bundles.get_mut().message().await.expect("no error").expect("no end").bundles;
    let keys: serde_json::Value = serde_json::from_slice(&shown["spiffe://example.org"]).expect("JSON");
    assert_eq!(keys["keys"][0]["kid"], serde_json::json!(roots.jwt_authorities[0].key_id));

    // The workload ends: what comes after is not for whoever has its pid.
    drop(workload);
    site.delete(other).await;
    let ended = end(&mut stream).await;
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert!(ended.message().starts_with("workload attestation failed: pid "), "{ended}");
    site.delete(web).await;
    site.agent.stop().await.expect("it stops");
}

/// Of the first certificate of a chain.
fn leaf_bytes(chain: &[u8]) -> usize {
    let (rest, _) = x509_parser::parse_x509_certificate(chain).expect("a certificate");
    chain.len() - rest.len()
}

#[tokio::test]
async fn what_a_broker_may_not_is_refused_and_named() {
    let far = "spiffe://example.org/far";
    let pod = "type.googleapis.com/spiffe.broker.KubernetesObjectReference";
    let near = format!("{{ id = {BROKER:?} allowed_reference_types = [{{ type_url = {PID_REFERENCE:?} }}] }}");
    let all = format!("{{ id = {far:?} allowed_reference_types = [{{ type_url = \"*\" allow_over_tcp = true }}] }}");
    let mut site = Site::new(&format!("{near}, {all}")).await;
    let workload = Workload::start();
    let broker = site.broker(&site.server, BROKER, HOUR_SECS).await;
    let client = site.over_socket(&broker);
    subscribe(&client, workload.reference()).await.expect("it may");
    subscribe(&site.over_tcp(&site.broker(&site.server, far, HOUR_SECS).await), workload.reference())
        .await
        .expect("it may, from afar");

    let headerless = SubscribeToX509svidRequest { reference: workload.reference() };
    let refused = client.clone().subscribe_to_x509svid(headerless).await.expect_err("no header");
    assert_eq!(of(&refused), (Code::InvalidArgument, "security header missing from request"));
    let refused = subscribe(&site.over_tcp(&broker), workload.reference()).await.expect_err("over TCP");
    let text = format!("reference type {PID_REFERENCE:?} is not allowed over TCP for broker {BROKER:?}");
    assert_eq!(of(&refused), (Code::PermissionDenied, text.as_str()));
    let refused = subscribe(&client, by_type(pod)).await.expect_err("another type");
    let text = format!("broker {BROKER:?} is not allowed to use reference type {pod:?}");
    assert_eq!(of(&refused), (Code::PermissionDenied, text.as_str()));
    for nothing in [None, Some(WorkloadReference::default()), by_type("")] {
        let refused = subscribe(&client, nothing).await.expect_err("no reference");
        assert_eq!(of(&refused), (Code::InvalidArgument, "workload reference must be provided"));
    }
    let far_client = site.over_socket(&site.broker(&site.server, far, HOUR_SECS).await);
    for unread in [pod, "x", "evil/spiffe.broker.WorkloadPIDReference"] {
        let refused = subscribe(&far_client, by_type(unread)).await.expect_err("nobody reads it");
        assert_eq!(of(&refused), (Code::Unimplemented, "no workload attestor handled reference"), "{unread}");
    }
    let refused = subscribe(&client, by_pid(0)).await.expect_err("no process");
    assert_eq!(of(&refused), (Code::InvalidArgument, "pid 0 is not positive"));
    let refused = subscribe(&client, by_pid(i32::MAX)).await.expect_err("no process");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let refused = subscribe(&client, by_type(&"x".repeat(100_000))).await.expect_err("too long");
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");

    // Nobody else gets through the handshake; that is said in the log.
    let stranger = site.broker(&site.server, "spiffe://example.org/stranger", HOUR_SECS).await;
    for client in [site.over_socket(&stranger), site.over_tcp(&stranger)] {
        let refused = subscribe(&client, workload.reference()).await.expect_err("a stranger");
        assert!(is_of_the_connection(&refused), "{refused}");
    }
    site.says("client certificate refused").await;
    let listed = services(site.socket_channel(&broker)).await.expect("a list");
    assert_eq!(listed[listed.len() - 1], "spiffe.broker.API");
    let refused = services(site.tcp_channel(&broker)).await.expect_err("from afar");
    let text = "server reflection is only available over Unix sockets";
    assert_eq!(of(&refused), (Code::PermissionDenied, text));
    site.agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_broker_of_a_federated_domain_is_let_in_until_its_svid_expires() {
    let id = of_other("/broker");
    let allowed = "allowed_reference_types = [{ type_url = \"*\" allow_over_tcp = true }]";
    let mut site = Site::new(&format!("{{ id = {id:?} {allowed} }}")).await;
    let other = server(&Binaries::find().expect("the programs"), site.scratch.path(), OTHER, None).await;
    let workload = Workload::start();
    let patient = site.broker(&other, &id, HOUR_SECS).await;
    let refused = subscribe(&site.over_tcp(&patient), workload.reference()).await.expect_err("nobody knows its domain");
    assert!(is_of_the_connection(&refused), "{refused}");
    site.says("client certificate refused").await;

    let bundle = other.admin().bundle().await.expect("a bundle");
    let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
    site.server.admin().bundles().batch_set_federated_bundle(request).await.expect("it is taken");
    let web = workload_entry("", &site.parent(), "/web", vec![own_uid_selector()]);
    site.create(Entry { federates_with: vec![OTHER.to_owned()], x509_svid_ttl: 20, ..web }).await;
    let let_in =
        until("to be let in", EVENT_MAX, async || subscribe(&site.over_tcp(&patient), workload.reference()).await);
    let mut stream = let_in.await.expect("its domain is known");
    let update = with(&mut stream, 1).await;
    assert_eq!(update.federated_bundles.into_keys().collect::<Vec<_>>(), [format!("spiffe://{OTHER}")]);

    // A connection that outlives the certificate is worth nothing: the next renewal is not told.
    let brief = site.broker(&other, &id, 15).await;
    let client = site.over_socket(&brief);
    let mut stream = subscribe(&client, workload.reference()).await.expect("it has not expired");
    let ended = end(&mut stream).await;
    let text = format!("the X.509-SVID of {id} has expired: connect again");
    assert_eq!(of(&ended), (Code::Unauthenticated, text.as_str()));
    let refused = subscribe(&client, workload.reference()).await.expect_err("on the same connection");
    assert_eq!(of(&refused), (Code::Unauthenticated, text.as_str()));
    site.agent.stop().await.expect("it stops");
}
