//! The Delegated Identity API: this test is the delegate.

use std::process::{Child, Command};

use steeple_api::agent::delegatedidentity::delegated_identity_client::DelegatedIdentityClient;
use steeple_api::agent::delegatedidentity::*;
use steeple_api::server::entry::BatchDeleteEntryRequest;
use steeple_api::types::{Entry, Selector};
use steeple_ca::certificate;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::*;

/// No process has it: whoever asks for it by selectors is believed.
const POD: &str = "pod:web";

struct Site {
    world: World,
    agent: Agent,
    client: DelegatedIdentityClient<Channel>,
}

impl Site {
    async fn new() -> Self {
        let world = World::new().await;
        let socket = world.scratch.join("private/admin.sock");
        let lines = [
            format!("admin_socket_path = {socket:?}"),
            "authorized_delegates = [\"spiffe://example.org/delegate\"]".to_owned(),
        ];
        let agent = world.agent(world.node(), &lines.each_ref().map(String::as_str)).await;
        let client = DelegatedIdentityClient::new(uds_channel(&socket));
        Self { world, agent, client }
    }

    async fn create(&self, path: &str, selector: Selector) -> Entry {
        self.create_as(workload_entry("", &self.world.agent_id().await, path, vec![selector])).await
    }

    async fn create_as(&self, entry: Entry) -> Entry {
        self.world.server.admin().create_entry(entry).await.expect("an entry")
    }

    async fn delete(&self, entry: Entry) {
        let request = BatchDeleteEntryRequest { ids: vec![entry.id] };
        self.world.server.admin().entries().batch_delete_entry(request).await.expect("it is gone");
    }

    async fn subscribe(
        &self,
        selectors: Vec<Selector>,
        pid: i32,
    ) -> Result<Streaming<SubscribeToX509sviDsResponse>, Status> {
        let request = SubscribeToX509sviDsRequest { selectors, pid };
        Ok(self.client.clone().subscribe_to_x509svi_ds(request).await?.into_inner())
    }

    async fn fetch_jwts(&self, selectors: Vec<Selector>, pid: i32) -> Result<FetchJwtsviDsResponse, Status> {
        let request = FetchJwtsviDsRequest { audience: vec!["api".to_owned()], selectors, pid };
        Ok(self.client.clone().fetch_jwtsvi_ds(request).await?.into_inner())
    }

    /// Waits until the agent knows that this process is a delegate.
    async fn is_delegate(&self) {
        let subscribed = until("to be a delegate", EVENT_MAX, async || self.subscribe(vec![pod()], 0).await.map(drop));
        subscribed.await.expect("it is one");
    }

    async fn refused_with(&self, code: Code, text: &str) {
        let refused = until(text, EVENT_MAX, async || match self.subscribe(vec![pod()], 0).await {
            Err(status) if (status.code(), status.message()) == (code, text) => Ok(()),
            other => Err(format!("{:?}", other.map(drop))),
        });
        refused.await.expect("it is refused");
    }
}

fn pod() -> Selector {
    Selector { r#type: "k8s".to_owned(), value: POD.to_owned() }
}

/// The SPIFFE IDs of the next message that has `count` of them.
async fn ids(stream: &mut Streaming<SubscribeToX509sviDsResponse>, count: usize) -> Vec<String> {
    let next = async {
        loop {
            let message = stream.message().await.expect("no error").expect("no end");
            if message.x509_svids.len() == count {
                break message.x509_svids;
            }
        }
    };
    let svids = tokio::time::timeout(EVENT_MAX, next).await.expect("in time");
    let id = |svid: X509svidWithKey| {
        let shown = svid.x509_svid.expect("an SVID");
        let leaf = certificate::facts(&shown.cert_chain[0]).expect("a certificate");
        assert_eq!(leaf.not_after.as_secs(), shown.expires_at);
        assert!(
            steeple_ca::SigningKey::from_pkcs8(&steeple_core::Secret::new(svid.x509_svid_key)).is_ok(),
            "a PKCS#8 key"
        );
        leaf.spiffe_id.expect("a SPIFFE ID").to_string()
    };
    svids.into_iter().map(id).collect()
}

#[tokio::test]
async fn only_a_delegate_gets_the_identities_of_others() {
    let mut site = Site::new().await;
    site.refused_with(Code::PermissionDenied, "no identity issued").await;
    let stranger = site.create("/stranger", own_uid_selector()).await;
    site.refused_with(Code::PermissionDenied, "caller not configured as an authorized delegate").await;
    site.delete(stranger).await;
    site.refused_with(Code::PermissionDenied, "no identity issued").await;

    let delegate = site.create("/delegate", own_uid_selector()).await;
    site.is_delegate().await;
    let refused = site.subscribe(vec![], 0).await.expect_err("about nobody");
    let text = "must provide either selectors or non-zero PID, but not both";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, text));
    let refused = site.fetch_jwts(vec![pod()], 1).await.expect_err("about two");
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, text));
    let nothing = Selector { r#type: String::new(), value: "x".to_owned() };
    let refused = site.subscribe(vec![nothing], 0).await.expect_err("no selector");
    let text = "could not parse provided selectors";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, text));
    let refused = site.subscribe(vec![], i32::MAX).await.expect_err("no process");
    assert_eq!((refused.code(), refused.message()), (Code::Unavailable, "workload attestation failed"));
    let request = FetchJwtsviDsRequest { selectors: vec![pod()], ..FetchJwtsviDsRequest::default() };
    let refused = site.client.fetch_jwtsvi_ds(request).await.expect_err("for nobody");
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "audience must be specified"));

    // With its entry goes its right, before the next message.
    let mut stream = site.subscribe(vec![pod()], 0).await.expect("a stream");
    assert_eq!(ids(&mut stream, 0).await, [""; 0]);
    site.delete(delegate).await;
    site.refused_with(Code::PermissionDenied, "no identity issued").await;
    site.create("/web", pod()).await;
    let end = tokio::time::timeout(EVENT_MAX, async {
        loop {
            if let Err(end) = stream.message().await {
                break end;
            }
        }
    });
    assert_eq!(end.await.expect("in time").code(), Code::PermissionDenied);
    site.agent.stop().await.expect("it stops");
}

/// A process of this user.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_delegate_follows_svids_tokens_and_bundles() {
    let mut site = Site::new().await;
    site.create("/delegate", own_uid_selector()).await;
    site.is_delegate().await;
    let mut stream = site.subscribe(vec![pod()], 0).await.expect("a stream");
    assert_eq!(ids(&mut stream, 0).await, [""; 0], "nothing is an answer too");
    let refused = site.fetch_jwts(vec![pod()], 0).await.expect_err("no identity");
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "no identity issued"));

    let admin = workload_entry("", &site.world.agent_id().await, "/admin", vec![pod()]);
    site.create_as(Entry { admin: true, ..admin }).await;
    let web = site.create("/web", pod()).await;
    assert_eq!(ids(&mut stream, 1).await, ["spiffe://example.org/web"], "rights on the server are for nobody else");
    let tokens = site.fetch_jwts(vec![pod()], 0).await.expect("tokens").svids;
    assert_eq!(tokens.len(), 1);
    assert!(tokens[0].issued_at < tokens[0].expires_at && tokens[0].token.split('.').count() == 3);
    site.delete(web).await;
    assert_eq!(ids(&mut stream, 0).await, [""; 0]);

    // By pid, the workload is attested as if it had called.
    let sleeper = Sleeper(Command::new("sleep").arg("600").spawn().expect("a process"));
    let pid = i32::try_from(sleeper.0.id()).expect("a pid");
    let mut stream = site.subscribe(vec![], pid).await.expect("a stream");
    assert_eq!(ids(&mut stream, 1).await, ["spiffe://example.org/delegate"], "it has this user's identity");
    assert_eq!(site.fetch_jwts(vec![], pid).await.expect("tokens").svids.len(), 1);

    let bundle = site.world.server.admin().bundle().await.expect("a bundle");
    let mut bundles = site.client.subscribe_to_x509_bundles(SubscribeToX509BundlesRequest {}).await.expect("a stream");
    let shown = bundles.get_mut().message().await.expect("no error").expect("no end").ca_certificates;
    let roots: Vec<u8> = bundle.x509_authorities.iter().flat_map(|root| root.asn1.clone()).collect();
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), [("spiffe://example.org".to_owned(), roots)]);
    let mut bundles = site.client.subscribe_to_jwt_bundles(SubscribeToJwtBundlesRequest {}).await.expect("a stream");
    let shown = bundles.get_mut().message().await.expect("no error").expect("no end").bundles;
    let keys: serde_json::Value = serde_json::from_slice(&shown["spiffe://example.org"]).expect("JSON");
    assert_eq!(keys["keys"][0]["kid"], serde_json::json!(bundle.jwt_authorities[0].key_id));
    site.agent.stop().await.expect("it stops");
}
