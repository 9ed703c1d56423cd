//! One trust domain with a server, its bundle endpoint and an agent.

use std::time::Duration;

use steeple_api::server::bundle::BatchSetFederatedBundleRequest;
use steeple_api::types;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{JwtsvidRequest, ValidateJwtsvidRequest, X509svidResponse};
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, ExtraLines, Port, Scratch, Server, ServerSpec, WorkloadStream,
    own_uid_selector, until, workload_entry,
};
use steeple_transport::client::uds_channel;
use steeple_transport::tls::{TrustRoots, Usage, verify_chain};
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

/// A stock server that had no bundle at its start looks again after a minute; agents poll every 5 s, machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Seconds; the endpoint's hint, and the least that is honoured.
pub const REFRESH_HINT: i64 = 60;

/// Where a trust domain shows its bundle.
pub struct Endpoint {
    pub trust_domain: &'static str,
    port: Port,
}

impl Endpoint {
    pub fn reserve(trust_domain: &'static str) -> Self {
        Self { trust_domain, port: Port::reserve().expect("a free port") }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    pub fn url(&self) -> String {
        format!("https://{}/", self.port.address())
    }

    /// `bundle_endpoint { }`; `profile` as it stands in the file.
    pub fn served(&self, profile: &str) -> String {
        format!(
            "bundle_endpoint {{ address = \"127.0.0.1\" port = {} refresh_hint = \"{REFRESH_HINT}s\" {profile} }}",
            self.port.number()
        )
    }

    /// `federates_with { }` in somebody else's file.
    pub fn followed(&self, profile: &str) -> String {
        format!(
            "federates_with \"{}\" {{ bundle_endpoint_url = \"{}\" bundle_endpoint_profile {profile} }}",
            self.trust_domain,
            self.url()
        )
    }

    pub fn followed_by_spiffe(&self) -> String {
        self.followed(&format!("\"https_spiffe\" {{ endpoint_spiffe_id = \"{}\" }}", self.server_id()))
    }

    pub fn server_id(&self) -> String {
        format!("spiffe://{}/spire/server", self.trust_domain)
    }
}

pub fn spec(name: &str, trust_domain: &str) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        trust_domain: trust_domain.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "debug".to_owned(),
        env: Vec::new(),
    }
}

pub fn federation(blocks: &[String]) -> String {
    format!("federation {{ {} }}", blocks.join(" "))
}

/// A ready server.
pub async fn server(binaries: &Binaries, scratch: &Scratch, spec: &ServerSpec, extra: &ExtraLines) -> Server {
    let mut server = Server::start_with(binaries, scratch.path(), spec, extra).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    server
}

/// By hand, as an operator does it once before https_spiffe can work.
pub async fn set_bundle(server: &Server, bundle: types::Bundle) {
    let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
    let response = server.admin().bundles().batch_set_federated_bundle(request).await.expect("an answer").into_inner();
    assert_eq!(response.results[0].status.as_ref().map(|status| status.code), Some(0));
}

/// Waits until `server` holds what the endpoint shows: only there is a refresh hint.
pub async fn until_fetched(server: &Server, trust_domain: &str) -> types::Bundle {
    let fetched = until("a fetched bundle", PATIENCE, async || {
        let bundle = server.admin().federated_bundle(trust_domain).await?;
        if bundle.refresh_hint == REFRESH_HINT { Ok(bundle) } else { Err(Status::not_found("not fetched yet")) }
    });
    fetched.await.map_err(|error| server.failure(&format!("{error:#}"))).expect("a fetched bundle")
}

/// A workload: an entry that federates, an agent that serves it, and an open stream.
pub struct Workload {
    pub id: String,
    agent: Agent,
    updates: WorkloadStream,
    latest: X509svidResponse,
}

impl Workload {
    pub async fn start(binaries: &Binaries, scratch: &Scratch, server: &Server, own: &str, other: &str) -> Self {
        let token = server.admin().create_join_token(Duration::from_secs(600)).await.expect("a token");
        let parent = types::Spiffeid { trust_domain: own.to_owned(), path: format!("/spire/agent/join_token/{token}") };
        let entry = types::Entry {
            federates_with: vec![other.to_owned()],
            ..workload_entry("", &parent, "/workload", vec![own_uid_selector()])
        };
        server.admin().create_entry(entry).await.expect("an entry");
        let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = scratch.join(format!("{own}.pem"));
        std::fs::write(&trust_bundle, pem::encode_many(&blocks)).expect("a file");
        let spec = AgentSpec {
            name: format!("{own}-agent"),
            trust_domain: own.to_owned(),
            servers: vec![server.api_address()],
            trust_bundle,
            attestation: Attestation::JoinToken(token),
            log_level: "debug".to_owned(),
            lines: Vec::new(),
        };
        let mut agent = Agent::start(binaries, scratch.path(), &spec).expect("the agent starts");
        agent.ready().await.expect("the agent becomes ready");
        let id = format!("spiffe://{own}/workload");
        let served = until("an identity", PATIENCE, async || {
            // A stock server tells agents of a new entry after some seconds.
            let mut updates = WorkloadStream::open(&agent.socket()).await?;
            let latest = updates.wait_for(&id, PATIENCE).await?;
            anyhow::Ok((updates, latest))
        });
        let (updates, latest) = served.await.expect("an SVID");
        Self { id, agent, updates, latest }
    }

    /// The chain of its SVID.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        let svid = self.latest.svids.iter().find(|svid| svid.spiffe_id == self.id).expect("its SVID");
        split(&svid.x509_svid)
    }

    /// Waits until the agent hands out `roots` roots of the other trust domain.
    pub async fn until_roots_of(&mut self, other: &str, roots: usize) -> Vec<Vec<u8>> {
        let key = format!("spiffe://{other}");
        let arrived = async {
            loop {
                let held = self.latest.federated_bundles.get(&key).map(|bundle| split(bundle)).unwrap_or_default();
                if held.len() == roots {
                    return held;
                }
                self.latest = self.updates.next().await.expect("an open stream");
            }
        };
        tokio::time::timeout(PATIENCE, arrived).await.expect("the roots arrive")
    }

    /// Whether the workload, with the roots that its agent gave it, accepts the other one.
    pub async fn accepts(&mut self, other: &Self, other_domain: &str) -> bool {
        let roots = self.until_roots_of(other_domain, 1).await;
        let domain = steeple_core::TrustDomain::from_name(other_domain).expect("a name");
        let roots = TrustRoots::empty().with(domain, &roots).expect("usable roots");
        let chain: Vec<_> = other.chain().into_iter().map(Into::into).collect();
        let now = steeple_core::Clock::now(&steeple_core::SystemClock);
        verify_chain(&chain, &roots, now, Usage::Client).is_ok_and(|id| id.as_str() == other.id)
    }

    pub async fn token(&self, audience: &str) -> String {
        let request = JwtsvidRequest { audience: vec![audience.to_owned()], spiffe_id: self.id.clone() };
        let response = self.client().fetch_jwtsvid(secured(request)).await.expect("a token").into_inner();
        response.svids.into_iter().next().expect("one token").svid
    }

    /// The subject that its agent finds in the token.
    pub async fn validated(&self, token: &str, audience: &str) -> Result<String, Status> {
        let request = ValidateJwtsvidRequest { audience: audience.to_owned(), svid: token.to_owned() };
        Ok(self.client().validate_jwtsvid(secured(request)).await?.into_inner().spiffe_id)
    }

    pub async fn stop(mut self) {
        self.agent.stop().await.expect("an orderly end");
    }

    fn client(&self) -> SpiffeWorkloadApiClient<tonic::transport::Channel> {
        SpiffeWorkloadApiClient::new(uds_channel(&self.agent.socket()))
    }
}

fn secured<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

/// Certificates that stand one behind the other.
fn split(mut ders: &[u8]) -> Vec<Vec<u8>> {
    let mut certificates = Vec::new();
    while let [0x30, 0x82, high, low, ..] = *ders {
        let (certificate, rest) = ders.split_at(4 + usize::from(u16::from_be_bytes([high, low])));
        certificates.push(certificate.to_vec());
        ders = rest;
    }
    certificates
}
