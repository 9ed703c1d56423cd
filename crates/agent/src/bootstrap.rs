//! How an agent comes to trust its server before the first contact. A bundle kept on disk wins over all of this.

use std::path::{Path, PathBuf};

use steeple_ca::jwks;
use steeple_config::{BundleFormat, TrustBootstrap};
use steeple_core::TrustDomain;

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("could not parse trust bundle: {path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("no certificates found in trust bundle {path}")]
    Empty { path: PathBuf },
    #[error("{key} is not supported by this version: use trust_bundle_path")]
    Unsupported { key: &'static str },
}

/// How the first contact is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstContact {
    /// Against these roots, DER.
    Roots(Vec<Vec<u8>>),
    /// Only the server's SPIFFE ID is looked at (`insecure_bootstrap`).
    Insecure,
}

pub fn first_contact(bootstrap: &TrustBootstrap, trust_domain: &TrustDomain) -> Result<FirstContact, BootstrapError> {
    match bootstrap {
        TrustBootstrap::File { path, format } => Ok(FirstContact::Roots(from_file(path, *format, trust_domain)?)),
        TrustBootstrap::Insecure => Ok(FirstContact::Insecure),
        TrustBootstrap::Url { .. } => Err(BootstrapError::Unsupported { key: "trust_bundle_url" }),
        TrustBootstrap::WorkloadApi { .. } => {
            Err(BootstrapError::Unsupported { key: "trust_bundle_spiffe_workload_api" })
        }
    }
}

fn from_file(path: &Path, format: BundleFormat, trust_domain: &TrustDomain) -> Result<Vec<Vec<u8>>, BootstrapError> {
    let unreadable = |reason: String| BootstrapError::Unreadable { path: path.to_owned(), reason };
    let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let roots: Vec<Vec<u8>> = match format {
        BundleFormat::Pem => pem::parse_many(&text)
            .map_err(|error| unreadable(error.to_string()))?
            .into_iter()
            .filter(|block| block.tag() == "CERTIFICATE")
            .map(pem::Pem::into_contents)
            .collect(),
        BundleFormat::Spiffe => jwks::parse_spiffe_bundle(trust_domain, &text)
            .map_err(|error| unreadable(error.to_string()))?
            .x509_authorities
            .into_iter()
            .map(|root| root.der)
            .collect(),
    };
    if roots.is_empty() { Err(BootstrapError::Empty { path: path.to_owned() }) } else { Ok(roots) }
}
