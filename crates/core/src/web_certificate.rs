//! Certificates of the web from an ACME server (RFC 8555), as the replicated state keeps them.

use crate::{SealedKey, Timestamp};

/// An account with an ACME server, known by the URL of the server's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeAccount {
    pub directory_url: String,
    pub key: SealedKey,
}

/// What has to be shown to prove that a name is our own (RFC 8737, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeChallenge {
    pub domain: String,
    /// SHA-256 of the key authorization.
    pub digest: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebCertificate {
    /// The one name that it is for, in lower case.
    pub domain: String,
    /// DER: the certificate first, then what stands above it.
    pub chain: Vec<Vec<u8>>,
    pub key: SealedKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}
