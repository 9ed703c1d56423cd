//! `transit`: a key of Vault's or OpenBao's transit secrets engine wraps.
//!
//! Two calls of its HTTP API, `encrypt` and `decrypt`, with associated data, which needs a key of an AEAD type. What it
//! answers (`vault:v1:…`) is kept as it is, so the key may be rotated there.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use steeple_core::plugin::{BoxFuture, Seal, SealFailure, SecretSource};
use steeple_core::{Clock, Secret};
use steeple_transport::client::https_post;
use steeple_transport::tls::{WebVerifier, https_client_config};
use zeroize::Zeroizing;

use super::secret;

/// Which key, and how to be let at it.
#[derive(Clone, Debug)]
pub struct TransitKey {
    /// `https://host[:port]`.
    pub address: String,
    /// Where the engine is mounted, without slashes around it.
    pub mount_path: String,
    pub name: String,
    pub token: SecretSource,
    pub namespace: Option<String>,
    /// PEM; `None` trusts the roots of the operating system.
    pub ca_cert_path: Option<PathBuf>,
}

/// Reads the token and the certificates anew each time.
pub struct TransitSeal {
    key: TransitKey,
    clock: Arc<dyn Clock>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Zeroizing<String>,
}

/// How the service says no.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Errors {
    errors: Vec<String>,
}

impl TransitSeal {
    pub fn new(key: TransitKey, clock: Arc<dyn Clock>) -> Self {
        Self { key, clock }
    }

    /// The body of a 200.
    async fn ask(&self, call: &str, question: serde_json::Value) -> Result<Zeroizing<Vec<u8>>, SealFailure> {
        let TransitKey { address, mount_path, name, .. } = &self.key;
        let url = format!("{address}/v1/{mount_path}/{call}/{name}");
        let reply = https_post(&url, &self.tls().await?, self.headers()?, body(question)?, ANSWER_BYTES_MAX).await;
        let reply = reply.map_err(|error| SealFailure::not_now(format!("{url}: {error}")))?;
        // The only owner of the bytes, which are not copied by this.
        let body = Zeroizing::new(Vec::from(reply.body));
        match reply.status {
            StatusCode::OK => Ok(body),
            status => Err(refusal(&url, status, &body)),
        }
    }

    fn headers(&self) -> Result<HeaderMap, SealFailure> {
        let token = secret::read(&self.key.token)?;
        let mut token = HeaderValue::from_bytes(token.expose())
            .map_err(|_| SealFailure::refused("the token is none: it holds bytes that a header cannot"))?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(TOKEN, token), (REQUEST, HeaderValue::from_static("true"))]);
        if let Some(namespace) = &self.key.namespace {
            let namespace = HeaderValue::from_str(namespace);
            let namespace = namespace.map_err(|_| SealFailure::refused("the namespace is no name for a header"))?;
            headers.insert(NAMESPACE, namespace);
        }
        Ok(headers)
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, SealFailure> {
        let ca = self.key.ca_cert_path.clone();
        let verifier = tokio::task::spawn_blocking(move || match ca {
            None => WebVerifier::with_system_roots().map_err(|error| error.to_string()),
            Some(path) => {
                let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let roots: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_file_iter(&path)
                    .and_then(|roots| roots.map(|root| root.map(|root| root.to_vec())).collect());
                let roots = roots.map_err(|error| named(&error))?;
                WebVerifier::with_roots(&roots).map_err(|_| named(&"it holds no certificate that can be trusted"))
            }
        });
        let verifier = verifier.await.map_err(|error| SealFailure::refused(error.to_string()))?;
        let verifier = verifier.map_err(SealFailure::Refused)?;
        https_client_config(verifier, Arc::clone(&self.clock)).map_err(|error| SealFailure::refused(error.to_string()))
    }
}

impl Seal for TransitSeal {
    fn kind(&self) -> &'static str {
        "transit"
    }

    fn secret_path(&self) -> Option<PathBuf> {
        secret::path(&self.key.token)
    }

    fn wrap<'a>(&'a self, key: &'a Secret, associated: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealFailure>> {
        Box::pin(async move {
            let plaintext = Zeroizing::new(STANDARD.encode(key.expose()));
            let associated = STANDARD.encode(associated);
            let question = json!({ "plaintext": *plaintext, "associated_data": associated });
            let answer: Answer<Encrypted> = read(&self.ask("encrypt", question).await?)?;
            Ok(answer.data.ciphertext.into_bytes())
        })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8], associated: &'a [u8]) -> BoxFuture<'a, Result<Secret, SealFailure>> {
        Box::pin(async move {
            let ciphertext = std::str::from_utf8(wrapped)
                .map_err(|_| SealFailure::refused("what is wrapped did not come from a transit key"))?;
            let associated = STANDARD.encode(associated);
            let question = json!({ "ciphertext": ciphertext, "associated_data": associated });
            let answer: Answer<Decrypted> = read(&self.ask("decrypt", question).await?)?;
            STANDARD.decode(&*answer.data.plaintext).map(Secret::new).map_err(|_| unreadable())
        })
    }
}

fn body(question: serde_json::Value) -> Result<bytes::Bytes, SealFailure> {
    serde_json::to_vec(&question).map(Into::into).map_err(|error| SealFailure::refused(error.to_string()))
}

/// The parser's own message may show what it met.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SealFailure> {
    serde_json::from_slice(body).map_err(|_| unreadable())
}

fn unreadable() -> SealFailure {
    SealFailure::refused("the answer is not that of a transit secrets engine: check address and mount_path")
}

/// A service that is sealed, overloaded or does not know the token yet may be of another mind in a while.
fn refusal(url: &str, status: StatusCode, body: &[u8]) -> SealFailure {
    let Errors { errors } = serde_json::from_slice(body).unwrap_or_default();
    let why = match errors.is_empty() {
        true => String::new(),
        false => format!(": {}", errors.join("; ")),
    };
    let message = format!("{url}: {status}{why}");
    match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => SealFailure::refused(
            format!("{message}; check mount_path, key_name and that the key's type is aes256-gcm96"),
        ),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            SealFailure::not_now(format!("{message}; renew the token, and let its policy update encrypt and decrypt"))
        }
        other if other.is_redirection() => {
            SealFailure::refused(format!("{message}: a token follows no redirect; set address to where it leads"))
        }
        _ => SealFailure::not_now(message),
    }
}

const TOKEN: http::HeaderName = http::HeaderName::from_static("x-vault-token");
const NAMESPACE: http::HeaderName = http::HeaderName::from_static("x-vault-namespace");
/// Its agent's proxy asks for it, so that no browser is made to call.
const REQUEST: http::HeaderName = http::HeaderName::from_static("x-vault-request");
/// A wrapped key of 32 bytes has some 100, and an answer some 500.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
