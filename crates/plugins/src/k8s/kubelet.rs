//! The kubelet's pod list over the network, with whatever the kubelet wants to see.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use steeple_core::Clock;
use steeple_transport::client::{HttpsError, HttpsReply, ServerDialer, get_over};
use steeple_transport::tls::danger::AnyServer;
use steeple_transport::tls::{CertFiles, CertFilesError, ChainVerifier, WebVerifier, https_client_config_as};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::pod::PodList;
use super::{KubeletAccess, KubeletAuthentication, KubeletSettings};

/// Why there is no pod list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KubeletError {
    #[error("unable to load {what} {}: {source}", path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("unable to load {what} {}: it has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { what: &'static str, path: PathBuf },
    #[error("unable to parse {what} {}: no certificate in it can be used", path.display())]
    NoCertificate { what: &'static str, path: PathBuf },
    #[error("unable to load keypair: {0}")]
    KeyPair(#[from] CertFilesError),
    #[error("the token in {} cannot be sent: it holds characters that no token has", .0.display())]
    BadToken(PathBuf),
    #[error("{0:?} is no host name that a certificate could name: correct node_name")]
    BadNodeName(String),
    #[error("TLS settings: {0}")]
    Tls(#[from] rustls::Error),
    #[error("unable to perform request: {0}")]
    Request(#[from] HttpsError),
    #[error("unable to perform request: the kubelet gave no complete answer within {} s", REQUEST_MAX.as_secs())]
    Timeout,
    #[error("unexpected status code on pods response: {status} {body}")]
    Status { status: u16, body: String },
    #[error("unable to parse kubelet response: {0}")]
    Parse(#[from] serde_json::Error),
}

/// A kubelet, with the credentials as their files held them when it was made.
pub(super) struct Kubelet {
    url: String,
    address: String,
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<HeaderValue>,
}

impl Kubelet {
    /// Blocks on files.
    pub(super) fn load(settings: &KubeletSettings, clock: &Arc<dyn Clock>) -> Result<Self, KubeletError> {
        let KubeletAccess::Secure { node_name, ca_path, authentication } = &settings.access else {
            let address = format!("{LOOPBACK}:{}", settings.port);
            return Ok(Self { url: format!("http://{address}{PODS}"), address, tls: None, authorization: None });
        };
        let host = node_name.as_deref().unwrap_or(LOOPBACK);
        ServerName::try_from(host).map_err(|_| KubeletError::BadNodeName(host.to_owned()))?;
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let address = format!("{host}:{}", settings.port);
        let verifier = verifier(ca_path.as_deref(), node_name.is_some())?;
        let identity = match authentication {
            KubeletAuthentication::Certificate { certificate_path, key_path } => {
                Some(CertFiles::load(certificate_path, key_path)? as Arc<dyn ResolvesClientCert>)
            }
            KubeletAuthentication::Anonymous | KubeletAuthentication::TokenFile(_) => None,
        };
        let authorization = match authentication {
            KubeletAuthentication::TokenFile(path) => Some(bearer(path)?),
            KubeletAuthentication::Anonymous | KubeletAuthentication::Certificate { .. } => None,
        };
        let tls = https_client_config_as(verifier, identity, Arc::clone(clock))?;
        Ok(Self { url: format!("https://{address}{PODS}"), address, tls: Some(tls), authorization })
    }

    /// One request, bounded in time and size.
    pub(super) async fn pods(&self) -> Result<PodList, KubeletError> {
        let reply = timeout(REQUEST_MAX, self.get()).await.map_err(|_| KubeletError::Timeout)??;
        if reply.status != StatusCode::OK {
            let body = String::from_utf8_lossy(&reply.body).trim().to_owned();
            return Err(KubeletError::Status { status: reply.status.as_u16(), body });
        }
        Ok(PodList::parse(&reply.body)?)
    }

    async fn get(&self) -> Result<HttpsReply, HttpsError> {
        let headers: HeaderMap = self.authorization.iter().map(|value| (AUTHORIZATION, value.clone())).collect();
        match &self.tls {
            Some(tls) => {
                let stream = ServerDialer::new([self.address.clone()], Arc::clone(tls)).dial().await?;
                get_over(stream, &self.url, headers, POD_LIST_BYTES_MAX).await
            }
            None => {
                let stream = TcpStream::connect(&self.address).await.map_err(HttpsError::Connect)?;
                get_over(stream, &self.url, headers, POD_LIST_BYTES_MAX).await
            }
        }
    }
}

fn verifier(ca_path: Option<&Path>, by_name: bool) -> Result<Arc<dyn ServerCertVerifier>, KubeletError> {
    let Some(path) = ca_path else { return Ok(Arc::new(AnyServer)) };
    let what = "kubelet CA";
    let unusable = || KubeletError::NoCertificate { what, path: path.to_owned() };
    let roots = roots(what, path)?;
    if by_name {
        return Ok(WebVerifier::with_roots(&roots).map_err(|_| unusable())?);
    }
    Ok(ChainVerifier::with_roots(&roots).ok_or_else(unusable)?)
}

/// The certificates of a PEM file.
pub(super) fn roots(what: &'static str, path: &Path) -> Result<Vec<Vec<u8>>, KubeletError> {
    let pem = read(what, path)?;
    let certificates: Result<Vec<Vec<u8>>, _> =
        CertificateDer::pem_slice_iter(&pem).map(|der| der.map(|der| der.to_vec())).collect();
    certificates.map_err(|_| KubeletError::NoCertificate { what, path: path.to_owned() })
}

/// The header that shows the token of `path`.
pub(super) fn bearer(path: &Path) -> Result<HeaderValue, KubeletError> {
    let token = Zeroizing::new(read("token", path)?);
    let header = Zeroizing::new([b"Bearer ", token.trim_ascii()].concat());
    let mut header = HeaderValue::from_bytes(&header).map_err(|_| KubeletError::BadToken(path.to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, KubeletError> {
    let failed = |source| KubeletError::Read { what, path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(KubeletError::TooLarge { what, path: path.to_owned() });
    }
    fs::read(path).map_err(failed)
}

const LOOPBACK: &str = "127.0.0.1";
const PODS: &str = "/pods";
/// SPIRE's bound for one request.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(10);
/// 500 pods, more than any kubelet is set to run, of 64 KiB each: their managed fields are long.
const POD_LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Tokens and bundles of a cluster's roots have a few KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
