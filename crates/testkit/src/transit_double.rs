//! A double of the transit secrets engine of Vault and OpenBao: `encrypt` and `decrypt` over real TLS. It encrypts
//! nothing: a ciphertext is a number under which it remembers what it was for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::double::{Asked, DoubleAnswer, announce_double, answer, locked, read_request};

const TOKEN: &str = "hvs.canary-token";
const KEY: &str = "/v1/transit/encrypt/steeple";
const OPEN: &str = "/v1/transit/decrypt/steeple";

/// Ends with the value.
#[derive(Debug)]
pub struct TransitDouble {
    port: u16,
    ca: PathBuf,
    token: PathBuf,
    shared: Arc<Shared>,
    _listening: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    trouble: Mutex<Option<DoubleAnswer>>,
    /// Plaintext in base64, and what it was bound to.
    sealed: Mutex<Vec<(String, Value)>>,
}

impl TransitDouble {
    /// Its mount is `transit`, its key `steeple`; certificate and token are written into `dir`.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        announce_double("the transit engine of Vault and OpenBao");
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
        let (ca, token) = (dir.join("transit-ca.pem"), dir.join("transit-token"));
        std::fs::write(&ca, certificate.pem())?;
        write_private(&token, TOKEN)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )?;
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut listening = JoinSet::new();
        listening.spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared)));
        Ok(Self { port, ca, token, shared, _listening: listening })
    }

    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// PEM.
    pub fn ca_path(&self) -> &Path {
        &self.ca
    }

    /// Mode 0600.
    pub fn token_path(&self) -> &Path {
        &self.token
    }

    /// The block of a server's configuration.
    pub fn seal_block(&self) -> String {
        format!(
            "seal \"transit\" {{ address = \"{}\" key_name = \"steeple\" token_path = \"{}\" ca_cert_path = \"{}\" }}",
            self.address(),
            self.token.display(),
            self.ca.display()
        )
    }

    /// The answer to every request from now on; `None` ends it.
    pub fn trouble(&self, with: Option<DoubleAnswer>) {
        *locked(&self.shared.trouble) = with;
    }

    /// What was given to it, in the clear.
    pub fn plaintexts(&self) -> Vec<Vec<u8>> {
        let sealed = locked(&self.shared.sealed);
        sealed.iter().filter_map(|(plaintext, _)| STANDARD.decode(plaintext).ok()).collect()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
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

async fn serve(tcp: TcpStream, tls: TlsAcceptor, shared: &Shared) -> io::Result<()> {
    let mut stream = tls.accept(tcp).await?;
    let asked = read_request(&mut stream).await?;
    let said = shared.judge(&asked);
    answer(&mut stream, &said).await
}

impl Shared {
    fn judge(&self, asked: &Asked) -> DoubleAnswer {
        if let Some(trouble) = locked(&self.trouble).clone() {
            return trouble;
        }
        if asked.vault_token.as_deref() != Some(TOKEN) {
            return refuse(403, "permission denied");
        }
        let question: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let text = |key: &str| question[key].as_str().unwrap_or_default().to_owned();
        let mut sealed = locked(&self.sealed);
        match asked.path.as_str() {
            KEY => {
                sealed.push((text("plaintext"), question["associated_data"].clone()));
                let ciphertext = format!("vault:v1:{}", STANDARD.encode(sealed.len().to_string()));
                DoubleAnswer::Json(json!({ "data": { "ciphertext": ciphertext, "key_version": 1 } }).to_string())
            }
            OPEN => {
                let ciphertext = text("ciphertext");
                let number = ciphertext.strip_prefix("vault:v1:").and_then(|text| STANDARD.decode(text).ok());
                let number = number.and_then(|text| String::from_utf8(text).ok()?.parse::<usize>().ok());
                match number.and_then(|number| sealed.get(number.checked_sub(1)?)) {
                    Some((plaintext, associated)) if *associated == question["associated_data"] => {
                        DoubleAnswer::Json(json!({ "data": { "plaintext": plaintext } }).to_string())
                    }
                    _ => refuse(400, "cipher: message authentication failed"),
                }
            }
            _ => refuse(404, "no handler for route"),
        }
    }
}

fn refuse(status: u16, why: &str) -> DoubleAnswer {
    DoubleAnswer::Status(status, json!({ "errors": [why] }).to_string())
}

fn write_private(path: &Path, content: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, content.as_bytes())
}
