//! A double of a kubelet: its two ports, its ways of authentication, and a pod list that tests write.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::double::{Asked, DoubleAnswer, Ledger, announce_double, answer, locked, read_request};

/// What its certificate says: names of a node, one of which resolves, and no address.
const NODE_NAMES: [&str; 2] = ["node-1.test", "localhost"];
const TOKEN: &str = "header.payload.signature";

/// Ends with the value.
#[derive(Debug)]
pub struct KubeletDouble {
    port: u16,
    read_only_port: u16,
    files: KubeletFiles,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

/// What its clients need.
#[derive(Clone, Debug)]
pub struct KubeletFiles {
    pub ca: PathBuf,
    pub token: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug)]
struct Shared {
    answer: Mutex<DoubleAnswer>,
    token: Mutex<String>,
    anonymous: Mutex<bool>,
    ledger: Ledger,
}

impl KubeletDouble {
    /// It lists no pods at first; its files are written into `dir`.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        announce_double("the kubelet");
        let (files, tls) = credentials(dir)?;
        let shared = Arc::new(Shared {
            answer: Mutex::new(DoubleAnswer::Json(r#"{"kind": "PodList", "items": null}"#.to_owned())),
            token: Mutex::new(TOKEN.to_owned()),
            anonymous: Mutex::new(false),
            ledger: Ledger::default(),
        });
        let (secure, read_only) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let (port, read_only_port) = (secure.local_addr()?.port(), read_only.local_addr()?.port());
        let mut listening = JoinSet::new();
        listening.spawn(accept(secure, Some(TlsAcceptor::from(tls)), Arc::clone(&shared)));
        listening.spawn(accept(read_only, None, Arc::clone(&shared)));
        Ok(Self { port, read_only_port, files, shared, _listening: listening })
    }

    /// Of HTTPS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of plain HTTP.
    pub fn read_only_port(&self) -> u16 {
        self.read_only_port
    }

    pub fn files(&self) -> &KubeletFiles {
        &self.files
    }

    /// To every request that is authenticated, from now on.
    pub fn answer(&self, with: DoubleAnswer) {
        *locked(&self.shared.answer) = with;
    }

    pub fn allow_anonymous(&self) {
        *locked(&self.shared.anonymous) = true;
    }

    /// The token that is accepted from now on; the file is written too.
    pub fn change_token(&self, token: &str) -> io::Result<()> {
        token.clone_into(&mut locked(&self.shared.token));
        std::fs::write(&self.files.token, format!("{token}\n"))
    }

    /// How many requests for pods have come so far.
    pub fn requests(&self) -> usize {
        self.shared.ledger.paths().len()
    }

    /// Waits until that many have come.
    pub async fn has_been_asked(&self, count: usize) {
        self.shared.ledger.reaches(count).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        // A client that leaves is its own affair.
        connections.spawn(async move {
            let _ = serve(tcp, tls, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut tcp: TcpStream, tls: Option<TlsAcceptor>, shared: &Shared) -> io::Result<()> {
    let Some(tls) = tls else {
        let asked = read_request(&mut tcp).await?;
        return answer(&mut tcp, &shared.judge(&asked, true)).await;
    };
    let mut stream = tls.accept(tcp).await?;
    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
    let asked = read_request(&mut stream).await?;
    answer(&mut stream, &shared.judge(&asked, has_certificate)).await
}

impl Shared {
    fn judge(&self, asked: &Asked, has_certificate: bool) -> DoubleAnswer {
        let bearer = format!("Bearer {}", *locked(&self.token));
        let has_token = asked.authorization.as_deref() == Some(&bearer);
        if !has_certificate && !has_token && !*locked(&self.anonymous) {
            return DoubleAnswer::Status(401, "Unauthorized".to_owned());
        }
        if asked.path != "/pods" {
            return DoubleAnswer::Status(404, "404 page not found".to_owned());
        }
        self.ledger.note(&asked.path);
        locked(&self.answer).clone()
    }
}

fn credentials(dir: &Path) -> anyhow::Result<(KubeletFiles, Arc<ServerConfig>)> {
    let ca_key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);
    let issue = |names: &[&str], usage| -> anyhow::Result<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![usage];
        Ok((params.signed_by(&key, &issuer)?, key))
    };
    let (server, server_key) = issue(&NODE_NAMES, ExtendedKeyUsagePurpose::ServerAuth)?;
    let (client, client_key) = issue(&["agent.test"], ExtendedKeyUsagePurpose::ClientAuth)?;
    let files = KubeletFiles {
        ca: dir.join("kubelet-ca.pem"),
        token: dir.join("kubelet-token"),
        certificate: dir.join("kubelet-client.pem"),
        key: dir.join("kubelet-client.key"),
    };
    std::fs::write(&files.ca, ca.pem())?;
    std::fs::write(&files.token, format!("{TOKEN}\n"))?;
    std::fs::write(&files.certificate, client.pem())?;
    std::fs::write(&files.key, client_key.serialize_pem())?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .context("a verifier of clients")?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], key)?;
    Ok((files, Arc::new(config)))
}
