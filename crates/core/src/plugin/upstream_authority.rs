//! The authority above this server: it signs the server's CA, and may carry JWT keys and roots for a whole hierarchy.

use std::time::Duration;

use super::BoxFuture;
use crate::{JwtAuthority, X509Authority};

/// One of these at most stands above a server.
pub trait UpstreamAuthority: Send + Sync {
    /// As in the configuration, for instance `disk`.
    fn name(&self) -> &str;

    /// Has the CA of a server signed. `csr` is DER and names the trust domain; an authority may give it a shorter life
    /// than `preferred_ttl`.
    fn mint_x509_ca<'a>(
        &'a self,
        csr: &'a [u8],
        preferred_ttl: Duration,
    ) -> BoxFuture<'a, Result<MintedX509Ca, UpstreamError>>;

    /// Makes a JWT key known to everybody below the same root. [`UpstreamError::Unsupported`] where JWT keys stay with
    /// the server that made them.
    fn publish_jwt_key<'a>(&'a self, key: &'a JwtAuthority) -> BoxFuture<'a, Result<(), UpstreamError>>;

    /// What the authority trusts now; [`UpstreamError::Unsupported`] where it only says so when it signs,
    /// [`UpstreamError::NothingYet`] before it has.
    fn bundle(&self) -> BoxFuture<'_, Result<UpstreamBundle, UpstreamError>>;
}

/// A signed CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintedX509Ca {
    /// DER: the new CA first, then what stands above it, without the root.
    pub chain: Vec<Vec<u8>>,
    /// DER: who vouches for the chain.
    pub roots: Vec<Vec<u8>>,
}

/// The trust bundle of the authority above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamBundle {
    pub x509_authorities: Vec<X509Authority>,
    pub jwt_authorities: Vec<JwtAuthority>,
    /// Whether a root that is not in it is not trusted above any more.
    pub is_whole: bool,
}

/// The authority above did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It will, once it has signed.
    #[error("the authority has told nothing yet")]
    NothingYet,
    #[error("{0} is unsupported")]
    Unsupported(&'static str),
    #[error("{0}")]
    Failed(String),
}

impl UpstreamError {
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}
