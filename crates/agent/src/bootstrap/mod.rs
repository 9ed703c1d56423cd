//! How an agent comes to trust its server before the first contact. A bundle kept on disk wins over all of this.

mod query;
mod workload_api;

use std::path::Path;
use std::sync::Arc;

use steeple_ca::jwks;
use steeple_config::{BundleFormat, HostPort, TrustBootstrap};
use steeple_core::{SystemClock, Timestamp, TrustDomain};
use steeple_transport::client::{HttpsError, HttpsReply, https_get, unix_get};
use steeple_transport::tls::{WebVerifier, https_client_config};

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("could not parse trust bundle: {from}: {reason}")]
    Unreadable { from: String, reason: String },
    #[error("no certificates found in trust bundle {from}")]
    Empty { from: String },
    #[error("unable to fetch trust bundle URL {url}: {source}")]
    Download { url: String, source: HttpsError },
    #[error("unable to fetch trust bundle URL {url}: {reason}")]
    NoDocument { url: String, reason: String },
    #[error("unable to fetch trust bundle from SPIFFE Workload API {address}: {reason}")]
    WorkloadApi { address: String, reason: String },
}

/// How the first contact is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstContact {
    /// Against these roots, DER.
    Roots(Vec<Vec<u8>>),
    /// Only the server's SPIFFE ID is looked at (`insecure_bootstrap`).
    Insecure,
}

/// The configured source. It is asked anew at each attempt, so that a bundle may appear after the agent has started.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    pub source: TrustBootstrap,
    pub trust_domain: TrustDomain,
    /// Told to the one who hands out bundles over a Unix socket.
    pub server: HostPort,
}

/// What a source over a Unix socket is told about the attempt.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Whether the agent trusted a server of this trust domain before.
    pub again: bool,
    /// Counted from 1.
    pub number: u32,
    pub started_at: Timestamp,
}

impl Bootstrap {
    pub async fn first_contact(&self, attempt: Attempt) -> Result<FirstContact, BootstrapError> {
        let (from, roots) = match &self.source {
            TrustBootstrap::Insecure => return Ok(FirstContact::Insecure),
            TrustBootstrap::File { path, format } => {
                let from = path.display().to_string();
                let text = std::fs::read(path)
                    .map_err(|error| BootstrapError::Unreadable { from: from.clone(), reason: error.to_string() })?;
                let roots = parse(&text, *format, &self.trust_domain, &from)?;
                (from, roots)
            }
            TrustBootstrap::Url { url, unix_socket, format } => {
                let text = self.download(url, unix_socket.as_deref(), attempt).await?;
                (url.clone(), parse(&text, *format, &self.trust_domain, url)?)
            }
            TrustBootstrap::WorkloadApi { address } => {
                (address.clone(), workload_api::fetch_roots(address, &self.trust_domain).await?)
            }
        };
        if roots.is_empty() { Err(BootstrapError::Empty { from }) } else { Ok(FirstContact::Roots(roots)) }
    }

    async fn download(
        &self,
        url: &str,
        unix_socket: Option<&Path>,
        attempt: Attempt,
    ) -> Result<Vec<u8>, BootstrapError> {
        let failed = |source| BootstrapError::Download { url: url.to_owned(), source };
        let no_document = |reason: String| BootstrapError::NoDocument { url: url.to_owned(), reason };
        let HttpsReply { status, body } = match unix_socket {
            Some(path) => {
                let url = query::with_attempt(url, self, attempt);
                unix_get(path, &url, BUNDLE_BYTES_MAX).await.map_err(failed)?
            }
            None => {
                let verifier = WebVerifier::with_system_roots().map_err(|error| no_document(error.to_string()))?;
                let tls = https_client_config(verifier, Arc::new(SystemClock));
                let tls = tls.map_err(|error| no_document(error.to_string()))?;
                https_get(url, &tls, BUNDLE_BYTES_MAX).await.map_err(failed)?
            }
        };
        if status.as_u16() != 200 {
            return Err(no_document(format!("answered {status}")));
        }
        Ok(body.to_vec())
    }
}

fn parse(
    text: &[u8],
    format: BundleFormat,
    trust_domain: &TrustDomain,
    from: &str,
) -> Result<Vec<Vec<u8>>, BootstrapError> {
    let unreadable = |reason: String| BootstrapError::Unreadable { from: from.to_owned(), reason };
    Ok(match format {
        BundleFormat::Pem => pem::parse_many(text)
            .map_err(|error| unreadable(error.to_string()))?
            .into_iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(pem::Pem::into_contents)
            .collect(),
        BundleFormat::Spiffe => jwks::parse_spiffe_bundle(trust_domain, text)
            .map_err(|error| unreadable(error.to_string()))?
            .x509_authorities
            .into_iter()
            .map(|root| root.der)
            .collect(),
    })
}

/// Some hundred roots.
const BUNDLE_BYTES_MAX: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests;
