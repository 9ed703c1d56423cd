//! Issuing: a template, a public key and an authority's private key make an SVID. The caller brings the time, the
//! serial and every check of who may have what.

mod jws;
mod jwt;
mod wit;
mod x509;

pub use jws::SignedToken;
pub use jwt::{JwtIssuer, JwtSvidRequest};
pub use wit::{HolderKey, HolderKeyError, WitIssuer, WitSvidRequest};
pub use x509::{BACKDATE, CaCertificate, CaIssuer, CaRequest, SvidRequest, X509Svid, self_signed_ca};

use steeple_core::Timestamp;

use crate::KeyError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    #[error("the authority has expired: wait for the next one to be activated")]
    AuthorityExpired,
    #[error(
        "the authority is not valid before {not_before}: this server's clock is behind, or the cluster's time ran \
         ahead; see `cluster reset-clock`"
    )]
    AuthorityNotYetValid { not_before: Timestamp },
    #[error("CA certificate cannot be read: {0}")]
    BadCaCertificate(&'static str),
    #[error("private key does not belong to the CA certificate")]
    KeyMismatch,
    #[error("validity does not fit into the years 1950 to 9999")]
    ValidityOutOfRange,
    #[error("DNS name {0:?} is not ASCII: use its punycode form")]
    DnsName(String),
    #[error("at least one audience is required")]
    NoAudience,
    #[error(transparent)]
    Key(#[from] KeyError),
}
