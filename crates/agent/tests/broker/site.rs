//! A server, an agent that serves brokers, and brokers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use prost_types::Any;
use rustls::pki_types::ServerName;
use steeple_api::any::pack;
use steeple_api::broker::api_client::ApiClient;
use steeple_api::broker::{
    KubernetesObjectKey, KubernetesObjectReference, KubernetesObjectType, SubscribeToX509svidRequest,
    SubscribeToX509svidResponse, WorkloadPidReference, WorkloadReference,
};
use steeple_api::server::entry::BatchDeleteEntryRequest;
use steeple_api::server::svid::MintX509svidRequest;
use steeple_api::types;
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_core::plugin::PrivateKey;
use steeple_core::{KeyType, SpiffeId, SystemClock};
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, NodeCertificateAuthority, Port, Scratch, Server, ServerSpec, until,
};
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, TrustRoots, Usage, client_config,
};
use tokio::net::UnixStream;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tower::service_fn;

use crate::{EVENT_MAX, OTHER, TRUST_DOMAIN};

pub const PID_REFERENCE: &str = "type.googleapis.com/spiffe.broker.WorkloadPIDReference";

pub struct Site {
    pub scratch: Scratch,
    pub server: Server,
    pub agent: Agent,
    pub port: Port,
    socket: PathBuf,
    agent_id: SpiffeId,
}

/// Whom a broker is, and what vouches for the agent.
pub struct Broker {
    tls: Arc<rustls::ClientConfig>,
}

/// A process of this user, which ends with this.
pub struct Workload(Child);

pub async fn server(binaries: &Binaries, dir: &Path, trust_domain: &str, nodes: Option<PathBuf>) -> Server {
    let spec = ServerSpec {
        name: trust_domain.to_owned(),
        trust_domain: trust_domain.to_owned(),
        cluster: None,
        x509pop_root: nodes,
        jwt_issuer: None,
        log_level: "info".to_owned(),
        env: Vec::new(),
    };
    let mut server = Server::start(binaries, dir, &spec).expect("the server starts");
    server.ready().await.expect("the server becomes ready");
    server
}

impl Site {
    /// `brokers` as in the configuration.
    pub async fn new(brokers: &str) -> Self {
        Self::with(brokers, &[]).await
    }

    /// With workload attestors beside `unix`.
    pub async fn with(brokers: &str, attestors: &[String]) -> Self {
        let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
        let server = server(&binaries, scratch.path(), TRUST_DOMAIN, Some(nodes.root_path().to_owned())).await;
        let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        std::fs::write(scratch.join("bundle.pem"), pem::encode_many(&blocks)).expect("a file");
        let (socket, port) = (scratch.join("private/broker.sock"), Port::reserve().expect("a port"));
        let lines = format!(
            "experimental {{ broker {{ socket_path = {socket:?} bind_address = {:?} brokers = [ {brokers} ] }} }}",
            port.address()
        );
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: vec![server.api_address()],
            trust_bundle: scratch.join("bundle.pem"),
            attestation: Attestation::X509Pop(nodes.issue(scratch.path(), "node-1").expect("a certificate")),
            log_level: "debug".to_owned(),
            lines: vec![lines],
        };
        let mut agent = Agent::start_with(&binaries, scratch.path(), &spec, attestors).expect("the agent starts");
        agent.ready().await.expect("the agent attests");
        let id = server.admin().agent_ids("x509pop").await.expect("a list").remove(0);
        let agent_id = SpiffeId::parse(&format!("spiffe://{}{}", id.trust_domain, id.path)).expect("an ID");
        Self { scratch, server, agent, port, socket, agent_id }
    }

    pub fn parent(&self) -> types::Spiffeid {
        let path = self.agent_id.as_str().split_once(TRUST_DOMAIN).expect("of this domain").1;
        types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: path.to_owned() }
    }

    pub async fn create(&self, entry: types::Entry) -> types::Entry {
        self.server.admin().create_entry(entry).await.expect("an entry")
    }

    pub async fn delete(&self, entry: types::Entry) {
        let request = BatchDeleteEntryRequest { ids: vec![entry.id] };
        self.server.admin().entries().batch_delete_entry(request).await.expect("it is gone");
    }

    /// Whoever has an SVID of `issuer` under `path`, for `seconds`.
    pub async fn broker(&self, issuer: &Server, id: &str, seconds: i32) -> Broker {
        let key = generate_pkcs8(KeyType::EcP256).expect("a key");
        let id = SpiffeId::parse(id).expect("an ID");
        let csr = csr::request(&SigningKey::from_pkcs8(&key).expect("a key"), &id, &[]).expect("a CSR");
        let request = MintX509svidRequest { csr, ttl: seconds };
        let minted = issuer.admin().svids().mint_x509svid(request).await.expect("an SVID").into_inner();
        let chain = minted.svid.expect("an SVID").cert_chain;
        let mut roots = TrustRoots::empty();
        for server in [&self.server, issuer] {
            let bundle = server.admin().bundle().await.expect("a bundle");
            let domain = steeple_core::TrustDomain::parse(&bundle.trust_domain).expect("a trust domain");
            let ders: Vec<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.asn1).collect();
            roots = roots.with(domain, &ders).expect("roots");
        }
        let (roots, clock) = (roots.into_shared(), Arc::new(SystemClock));
        let own = IdentityStore::new(Arc::clone(&roots), Arc::new(|_| true), Usage::Client, clock.clone());
        own.publish(&Identity { chain, key: PrivateKey::Here(key) }).expect("an identity");
        let verifier = ServerIdVerifier::new(roots, self.agent_id.clone());
        let tls = client_config(verifier, Some(own), KeyExchange::Compatible, clock).expect("a configuration");
        Broker { tls }
    }

    pub fn over_socket(&self, broker: &Broker) -> ApiClient<Channel> {
        ApiClient::new(self.socket_channel(broker))
    }

    pub fn socket_channel(&self, broker: &Broker) -> Channel {
        let (socket, tls) = (self.socket.clone(), Arc::clone(&broker.tls));
        let connector = service_fn(move |_: http::Uri| {
            let (socket, tls) = (socket.clone(), tokio_rustls::TlsConnector::from(Arc::clone(&tls)));
            async move {
                let stream = UnixStream::connect(socket).await?;
                let name = ServerName::try_from("localhost").expect("a name");
                tls.connect(name, stream).await.map(TokioIo::new)
            }
        });
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
    }

    pub fn over_tcp(&self, broker: &Broker) -> ApiClient<Channel> {
        ApiClient::new(self.tcp_channel(broker))
    }

    pub fn tcp_channel(&self, broker: &Broker) -> Channel {
        let address = self.port.address();
        let dialer = ServerDialer::new([address.clone()], Arc::clone(&broker.tls));
        server_channel(dialer, address.parse().expect("an authority")).expect("a channel")
    }

    pub async fn says(&self, part: &str) {
        let said = until(part, EVENT_MAX, async || {
            let log = self.agent.log().unwrap_or_default();
            if log.contains(part) { Ok(()) } else { Err(log) }
        });
        said.await.expect("the agent says so");
    }
}

impl Workload {
    pub fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("a process"))
    }

    pub fn reference(&self) -> Option<WorkloadReference> {
        by_pid(i32::try_from(self.0.id()).expect("a pid"))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn by_pid(pid: i32) -> Option<WorkloadReference> {
    Some(WorkloadReference { reference: Some(pack(&WorkloadPidReference { pid })) })
}

/// A pod, by name unless that is empty, by UID, or both.
pub fn by_pod(namespace: &str, name: &str, uid: &str) -> Option<WorkloadReference> {
    let key = KubernetesObjectKey { namespace: namespace.to_owned(), name: name.to_owned() };
    let pod = KubernetesObjectReference {
        r#type: Some(KubernetesObjectType { plural: "pods".to_owned(), group: "core".to_owned() }),
        key: (!name.is_empty()).then_some(key),
        uid: uid.to_owned(),
    };
    Some(WorkloadReference { reference: Some(pack(&pod)) })
}

pub fn by_type(type_url: &str) -> Option<WorkloadReference> {
    Some(WorkloadReference { reference: Some(Any { type_url: type_url.to_owned(), value: vec![8, 1] }) })
}

/// With the header that every call has.
pub fn call<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("broker.spiffe.io", MetadataValue::from_static("true"));
    request
}

pub async fn subscribe(
    client: &ApiClient<Channel>,
    reference: Option<WorkloadReference>,
) -> Result<Streaming<SubscribeToX509svidResponse>, Status> {
    let request = call(SubscribeToX509svidRequest { reference });
    Ok(client.clone().subscribe_to_x509svid(request).await?.into_inner())
}

/// The next message that has `count` SVIDs.
pub async fn with(stream: &mut Streaming<SubscribeToX509svidResponse>, count: usize) -> SubscribeToX509svidResponse {
    let next = async {
        loop {
            let message = stream.message().await.expect("no error").expect("no end");
            if message.svids.len() == count {
                break message;
            }
        }
    };
    tokio::time::timeout(EVENT_MAX, next).await.expect("in time")
}

/// How a stream ends.
pub async fn end<T>(stream: &mut Streaming<T>) -> Status {
    let end = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a stream never ends well"),
                Err(status) => break status,
            }
        }
    };
    tokio::time::timeout(EVENT_MAX, end).await.expect("in time")
}

/// What gRPC reflection tells of, in order.
pub async fn services(channel: Channel) -> Result<Vec<String>, Status> {
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(call(futures::stream::iter([asked]))).await?.into_inner();
    match answers.message().await?.and_then(|answer| answer.message_response) {
        Some(MessageResponse::ListServicesResponse(list)) => {
            Ok(list.service.into_iter().map(|service| service.name).collect())
        }
        other => panic!("{other:?}"),
    }
}

pub fn of_other(path: &str) -> String {
    format!("spiffe://{OTHER}{path}")
}
