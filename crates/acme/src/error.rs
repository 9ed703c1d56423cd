//! Why there is no new certificate. The one that is held stays.

use instant_acme::Error as Protocol;
use steeple_transport::tls::WebRootsError;
use steeple_transport::with_causes;

use crate::{CertificateError, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error(transparent)]
    Roots(#[from] WebRootsError),
    #[error("TLS cannot be configured: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot {what}: {}", with_causes(.source))]
    Protocol { what: &'static str, source: Protocol },
    #[error(
        "the ACME server offers no tls-alpn-01 challenge for {domain}: it has to be one that proves names by \
         connections to port 443"
    )]
    NoChallenge { domain: String },
    #[error("the ACME server did not find {domain} proved: {why}")]
    NotProved { domain: String, why: String },
    #[error("the key of the ACME account cannot be used: {0}")]
    AccountKey(String),
    #[error("cannot make a key and a request for the certificate: {0}")]
    Request(String),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("cannot keep what ACME needs: {0}")]
    Store(#[from] StoreError),
    #[error("the order took longer than {} s", .0.as_secs())]
    Timeout(std::time::Duration),
}

/// For `map_err`.
pub(crate) fn when(what: &'static str) -> impl Fn(Protocol) -> AcmeError {
    move |source| AcmeError::Protocol { what, source }
}
