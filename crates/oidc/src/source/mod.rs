//! Where keys come from.

mod file;
mod server_api;
mod workload_api;

use std::future::Future;
use std::path::PathBuf;

use steeple_ca::jwks::JwksError;
use steeple_core::{JwtAuthority, TrustDomain};
use tonic::Status;

pub(crate) use file::FileSource;
pub(crate) use server_api::ServerApiSource;
pub(crate) use workload_api::WorkloadApiSource;

/// Gives a trust domain's JWT authorities.
pub trait KeySource: Send + Sync + 'static {
    fn fetch(&self) -> impl Future<Output = Result<Vec<JwtAuthority>, SourceError>> + Send;
}

/// Why there are no keys this time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("{}", steeple_cli::rpc_error(.0))]
    ServerApi(Box<Status>),
    #[error("{}", steeple_cli::rpc_error(.0))]
    WorkloadApi(Box<Status>),
    #[error("the Workload API has no bundle of {0}: add it to the -federatesWith of an entry")]
    NoBundle(TrustDomain),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("unable to parse the bundle: {0}")]
    Bundle(#[from] JwksError),
    /// Of the server that the provider is a part of: it is asked often, so this is told once.
    #[error("{0}")]
    NotReady(String),
}

impl SourceError {
    /// SPIRE's message for the log.
    pub(crate) fn heading(&self) -> &'static str {
        match self {
            Self::ServerApi(_) | Self::NotReady(_) => "Failed to fetch bundle",
            Self::WorkloadApi(_) => "Failed to fetch JWKS from the Workload API",
            Self::NoBundle(_) => "No bundle for trust domain in Workload API response",
            Self::File { .. } | Self::Bundle(_) => "Failed to load SPIFFE trust bundle",
        }
    }
}
