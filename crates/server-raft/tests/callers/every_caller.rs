//! Everybody who may call a server, by the names of the columns of `docs/authorization.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use steeple_agent::identity::{AgentSvid, KEY_IDS, attest};
use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::{BanAgentRequest, DeleteAgentRequest};
use steeple_api::server::bundle::BatchSetFederatedBundleRequest;
use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::server::svid::MintX509svidRequest;
use steeple_api::types::permission_denied_details::Reason;
use steeple_api::types::{self, X509Certificate};
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_core::plugin::AgentNodeAttestor;
use steeple_core::{Clock, KeyType, Secret, SystemClock, TrustDomain};
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::key_manager::MemoryKeys;
use steeple_plugins::x509pop::{X509PopAgent, X509PopFiles};
use steeple_testkit::{
    Admin, Binaries, Cluster, ExtraLines, NodeCertificateAuthority, Scratch, Server, ServerSpec, until, workload_entry,
};
use steeple_transport::client::{ServerDialer, server_channel, uds_channel};
use steeple_transport::tls::{KeyExchange, ServerIdVerifier, SharedRoots, TrustRoots, client_config};
use tonic::transport::{Channel, Endpoint};

use crate::question::{Answer, EMPTY, Message, UNREADABLE, ask};
use crate::site::READY_MAX;

const OTHER: &str = "other.test";
const HOUR_SECS: i32 = 3600;
/// Time for a handshake on a busy machine; if it was not enough another certificate is minted.
const SHORT_SECS: i32 = 5;
/// Stock servers have nothing like it: there the ID is a workload's.
const POLICY: &str = r#"
role "limited" {
    spiffe_ids = ["spiffe://example.org/limited"]
    rule { methods = ["Entry/*"] spiffe_ids = ["spiffe://example.org/limits/*"] }
}
"#;
const AGENT_CALL: &str = "/spire.api.server.agent.v1.Agent/PostStatus";

/// The replicas, and the certificates of those who call them.
pub struct Cast {
    pub cluster: Cluster,
    /// What they send.
    pub message: Message,
    certificates: BTreeMap<&'static str, Certificate>,
    roots: SharedRoots,
    trust_domain: TrustDomain,
    scratch: Scratch,
}

struct Certificate {
    /// DER, leaf first.
    chain: Vec<Vec<u8>>,
    /// PKCS#8.
    key: Secret,
}

impl Cast {
    /// For three replicas.
    pub async fn assemble() -> Self {
        let scratch = Scratch::new().expect("a directory");
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root for nodes");
        let (spec, mut extra) = configured(nodes.root_path());
        let policy = scratch.join("policy.hcl");
        std::fs::write(&policy, POLICY).expect("a policy");
        extra.top = format!("authorization {{ policy_file = \"{}\" }}", policy.display());
        let ours = Binaries { server: PathBuf::from(env!("CARGO_BIN_EXE_steeple-server")), agent: PathBuf::new() };
        let cluster = Cluster::start_with(&ours, scratch.path(), 3, &spec, &extra).await.expect("three replicas");
        Self::around(cluster, UNREADABLE, &nodes, scratch).await
    }

    /// For one server, which may be SPIRE's.
    pub async fn alone(binaries: &Binaries) -> Self {
        let scratch = Scratch::new().expect("a directory");
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root for nodes");
        let (spec, extra) = configured(nodes.root_path());
        let mut server = Server::start_with(binaries, scratch.path(), &spec, &extra).expect("the server starts");
        server.ready().await.expect("it becomes ready");
        Self::around(Cluster { servers: vec![server] }, EMPTY, &nodes, scratch).await
    }

    async fn around(cluster: Cluster, message: Message, nodes: &NodeCertificateAuthority, scratch: Scratch) -> Self {
        let trust_domain = TrustDomain::from_name("example.org").expect("a name");
        let admin = cluster.servers[0].admin().clone();
        let roots = TrustRoots::empty().into_shared();
        let mut cast = Self { cluster, message, certificates: BTreeMap::new(), roots, trust_domain, scratch };
        cast.trust_anew(&admin).await;
        cast.cast_agents(nodes, &admin).await;
        cast.cast_members(&admin).await;
        cast.cast_strangers(&admin).await;
        cast
    }

    /// Callers believe the servers that the bundle of now vouches for.
    pub async fn trust_anew(&self, admin: &Admin) {
        let roots = admin.bundle().await.expect("a bundle").x509_authorities;
        let roots: Vec<_> = roots.into_iter().map(|root| root.asn1).collect();
        let roots = TrustRoots::empty().with(self.trust_domain.clone(), &roots).expect("roots");
        self.roots.store(Arc::new(roots));
    }

    /// A way for each of them to the replica at `position`, which knows them all.
    pub async fn channels(&self, position: usize) -> BTreeMap<&'static str, Channel> {
        let server = &self.cluster.servers[position];
        let address = server.api_address();
        let tls = |certificate| self.channel(&address, certificate);
        let mut channels: BTreeMap<_, _> =
            self.certificates.iter().map(|(column, certificate)| (*column, tls(Some(certificate)))).collect();
        let plain = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
        channels.insert("plain", plain);
        channels.insert("anonymous", tls(None));
        channels.insert("local", uds_channel(&server.admin_socket()));
        channels.insert("expired", self.outlived(server.admin(), &address).await);
        let foreign = channels["config, foreign"].clone();
        let known = until("the other trust domain's roots are known", READY_MAX, async || {
            match ask(foreign.clone(), "/spire.api.server.agent.v1.Agent/CountAgents", self.message).await {
                Answer::LetIn => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        known.await.expect("they arrive");
        channels
    }

    /// Starts the replica at `position` again, with a key that does not open the keyring. Returns the right key; the
    /// other replicas do not look at the file.
    pub async fn seal(&mut self, position: usize) -> Vec<u8> {
        let file = self.scratch.join("sealing-key");
        let right = std::fs::read(&file).expect("a key");
        let wrong = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        std::fs::write(&file, format!("steeple-sealing-key-v1:{wrong}\n")).expect("a key");
        let server = &mut self.cluster.servers[position];
        server.stop().await.expect("it stops");
        server.launch().expect("it starts");
        let sealed = until("the replica answers that it is sealed", READY_MAX, async || {
            match server.admin().entries().list_entries(ListEntriesRequest::default()).await {
                Err(status) if status.message().contains("the server is sealed") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        sealed.await.expect("it is sealed");
        right
    }

    pub async fn unseal(&mut self, position: usize, right: &[u8]) {
        std::fs::write(self.scratch.join("sealing-key"), right).expect("a key");
        self.cluster.servers[position].ready().await.expect("it is unsealed by itself");
    }

    async fn cast_agents(&mut self, nodes: &NodeCertificateAuthority, admin: &Admin) {
        let agent = self.by_join_token(admin).await;
        let (banned, evicted) = (self.by_join_token(admin).await, self.by_join_token(admin).await);
        let node = nodes.issue(self.scratch.path(), "node").expect("a certificate");
        let files = X509PopFiles {
            private_key_path: node.private_key_path,
            certificate_path: node.certificate_path,
            intermediates_path: None,
        };
        let former = self.attested(Arc::new(X509PopAgent::new(files.clone()))).await;
        let renewed = self.attested(Arc::new(X509PopAgent::new(files))).await;
        assert_eq!(former.id, renewed.id);
        admin.agents().ban_agent(BanAgentRequest { id: Some(id_to_wire(&banned.id)) }).await.expect("banned");
        admin.agents().delete_agent(DeleteAgentRequest { id: Some(id_to_wire(&evicted.id)) }).await.expect("evicted");
        for (column, svid) in [("agent", agent), ("banned", banned), ("evicted", evicted), ("former", former)] {
            self.certificates
                .insert(column, Certificate { chain: svid.chain, key: svid.key.into_secret().expect("kept here") });
        }
    }

    async fn cast_members(&mut self, admin: &Admin) {
        let parent = id_to_wire(&self.trust_domain.member("/parent").expect("a path"));
        let selector = || vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }];
        let entry = |path: &str| workload_entry("", &parent, path, selector());
        let downstream = types::Entry { downstream: true, ..entry("/downstream") };
        let entries = [entry("/workload"), downstream, types::Entry { admin: true, ..entry("/admin") }];
        for entry in entries {
            admin.create_entry(entry).await.expect("an entry");
        }
        for column in ["workload", "downstream", "admin", "config", "limited"] {
            let minted = self.minted(admin, &format!("/{column}"), HOUR_SECS).await;
            self.certificates.insert(column, minted);
        }
    }

    async fn cast_strangers(&mut self, admin: &Admin) {
        let other = Authority::new(&format!("spiffe://{OTHER}"));
        let bundle = types::Bundle {
            trust_domain: OTHER.to_owned(),
            x509_authorities: vec![X509Certificate { asn1: other.root.clone(), tainted: false }],
            ..types::Bundle::default()
        };
        let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
        admin.bundles().batch_set_federated_bundle(request).await.expect("it is taken");
        self.certificates.insert("foreign", other.issue(&format!("spiffe://{OTHER}/spire/agent/x")));
        self.certificates.insert("config, foreign", other.issue(&format!("spiffe://{OTHER}/admin")));
        let name = "steeple-peer://0123456789abcdef0123456789abcdef/1/0123456789abcdef0123456789abcdef";
        self.certificates.insert("peer", Authority::new("steeple-peer://").issue(name));
    }

    /// An open connection whose certificate has run out.
    async fn outlived(&self, admin: &Admin, address: &str) -> Channel {
        let connected = until("a connection in time", READY_MAX, async || {
            let minted = self.minted(admin, "/short", SHORT_SECS).await;
            let channel = self.channel(address, Some(&minted));
            match ask(channel.clone(), AGENT_CALL, self.message).await {
                Answer::NoConnection => Err("it ran out before"),
                _ => Ok(channel),
            }
        });
        let channel = connected.await.expect("a connection");
        let expired =
            until("it runs out", READY_MAX, async || match ask(channel.clone(), AGENT_CALL, self.message).await {
                Answer::DeniedBecause(Reason::AgentExpired) => Ok(()),
                other => Err(format!("{other:?}")),
            });
        expired.await.expect("it runs out on the connection");
        channel
    }

    async fn minted(&self, admin: &Admin, path: &str, ttl: i32) -> Certificate {
        let key = generate_pkcs8(KeyType::EcP256).expect("a key");
        let id = self.trust_domain.member(path).expect("a path");
        let signing = SigningKey::from_pkcs8(&key).expect("a key");
        let csr = csr::request(&signing, &id, &[]).expect("a CSR");
        let minted = admin.svids().mint_x509svid(MintX509svidRequest { csr, ttl }).await.expect("an SVID");
        Certificate { chain: minted.into_inner().svid.expect("an SVID").cert_chain, key }
    }

    /// An agent that attested through the first replica.
    pub async fn by_join_token(&self, admin: &Admin) -> AgentSvid {
        let token = admin.create_join_token(Duration::from_secs(600)).await.expect("a token");
        self.attested(Arc::new(JoinTokenAttestor::new(Some(Secret::new(token.into_bytes()))))).await
    }

    async fn attested(&self, attestor: Arc<dyn AgentNodeAttestor>) -> AgentSvid {
        let anonymous = self.channel(&self.cluster.servers[0].api_address(), None);
        let attested = attest(anonymous, &attestor, &MemoryKeys::default(), KEY_IDS[0], &self.trust_domain).await;
        attested.expect("it attests")
    }

    /// To the replica at `address`, as whoever plays `column`, which has a certificate.
    pub fn channel_of(&self, column: &str, address: &str) -> Channel {
        self.channel(address, self.certificates.get(column))
    }

    /// To the replica at `address`, as `agent`.
    pub fn channel_of_agent(&self, agent: &AgentSvid, address: &str) -> Channel {
        let certificate =
            Certificate { chain: agent.chain.clone(), key: agent.key.duplicate().into_secret().expect("kept here") };
        self.channel(address, Some(&certificate))
    }

    fn channel(&self, address: &str, certificate: Option<&Certificate>) -> Channel {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let shown: Option<Arc<dyn ResolvesClientCert>> = match certificate {
            Some(certificate) => Some(Arc::new(SingleCertAndKey::from(certificate.certified()))),
            None => None,
        };
        let verifier = ServerIdVerifier::new(Arc::clone(&self.roots), self.trust_domain.server_id());
        let tls = client_config(verifier, shown, KeyExchange::Compatible, clock).expect("a configuration");
        let authority = address.parse().expect("an authority");
        server_channel(ServerDialer::new([address.to_owned()], tls), authority).expect("a channel")
    }
}

impl Certificate {
    fn certified(&self) -> CertifiedKey {
        let chain = self.chain.iter().cloned().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.expose()));
        CertifiedKey::new(chain, rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key"))
    }
}

/// Of somebody else.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
}

impl Authority {
    fn new(uri: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(uri);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).expect("a root").der().to_vec();
        Self { issuer: Issuer::new(params, key), root }
    }

    fn issue(&self, uri: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(uri);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.issuer).expect("a certificate").der().to_vec();
        Certificate { chain: vec![leaf], key: Secret::new(key.serialize_der()) }
    }
}

fn named(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri.try_into().expect("a name"))];
    params
}

fn configured(nodes_root: &Path) -> (ServerSpec, ExtraLines) {
    let spec = ServerSpec {
        name: "server".to_owned(),
        trust_domain: "example.org".to_owned(),
        cluster: None,
        x509pop_root: Some(nodes_root.to_owned()),
        jwt_issuer: None,
        log_level: "ERROR".to_owned(),
        env: Vec::new(),
    };
    let server = format!("admin_ids = [\"spiffe://example.org/config\", \"spiffe://{OTHER}/admin\"]");
    (spec, ExtraLines { server, ..ExtraLines::default() })
}
