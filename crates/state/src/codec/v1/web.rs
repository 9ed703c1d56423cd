//! Certificates of the web: messages of rows and commands, and their conversions.

use steeple_core as core;
use steeple_core::{SealedKey, Timestamp};

use super::super::DecodeError;
use crate::WebKey;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AcmeAccount {
    #[prost(string, tag = "1")]
    pub(crate) directory_url: String,
    #[prost(uint64, tag = "2")]
    pub(crate) keyring_term: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) key_ciphertext: Vec<u8>,
}

/// In a command without a digest: the challenge goes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AcmeChallenge {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub(crate) digest: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WebCertificate {
    #[prost(string, tag = "1")]
    pub(crate) domain: String,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) chain: Vec<Vec<u8>>,
    #[prost(uint64, tag = "3")]
    pub(crate) keyring_term: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) key_ciphertext: Vec<u8>,
    #[prost(sint64, tag = "5")]
    pub(crate) not_before_ms: i64,
    #[prost(sint64, tag = "6")]
    pub(crate) not_after_ms: i64,
}

/// Of an account or of a certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResealWebKey {
    #[prost(string, optional, tag = "1")]
    pub(crate) directory_url: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) domain: Option<String>,
    #[prost(uint64, tag = "3")]
    pub(crate) keyring_term: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) key_ciphertext: Vec<u8>,
    #[prost(uint64, tag = "5")]
    pub(crate) expected_term: u64,
}

impl From<&core::AcmeAccount> for AcmeAccount {
    fn from(account: &core::AcmeAccount) -> Self {
        Self {
            directory_url: account.directory_url.clone(),
            keyring_term: account.key.keyring_term,
            key_ciphertext: account.key.ciphertext.clone(),
        }
    }
}

impl From<AcmeAccount> for core::AcmeAccount {
    fn from(account: AcmeAccount) -> Self {
        let key = SealedKey { keyring_term: account.keyring_term, ciphertext: account.key_ciphertext };
        Self { directory_url: account.directory_url, key }
    }
}

impl AcmeChallenge {
    pub(crate) fn new(domain: &str, digest: Option<[u8; 32]>) -> Self {
        Self { domain: domain.to_owned(), digest: digest.map(|digest| digest.to_vec()) }
    }

    pub(crate) fn read_digest(&self) -> Result<Option<[u8; 32]>, DecodeError> {
        let Some(digest) = &self.digest else { return Ok(None) };
        let found = digest.len();
        let digest = digest.as_slice().try_into();
        digest.map(Some).map_err(|_| DecodeError::invalid("digest of an ACME challenge", format!("{found} bytes")))
    }
}

impl From<&core::WebCertificate> for WebCertificate {
    fn from(certificate: &core::WebCertificate) -> Self {
        Self {
            domain: certificate.domain.clone(),
            chain: certificate.chain.clone(),
            keyring_term: certificate.key.keyring_term,
            key_ciphertext: certificate.key.ciphertext.clone(),
            not_before_ms: certificate.not_before.as_ms(),
            not_after_ms: certificate.not_after.as_ms(),
        }
    }
}

impl From<WebCertificate> for core::WebCertificate {
    fn from(certificate: WebCertificate) -> Self {
        Self {
            domain: certificate.domain,
            chain: certificate.chain,
            key: SealedKey { keyring_term: certificate.keyring_term, ciphertext: certificate.key_ciphertext },
            not_before: Timestamp::from_ms(certificate.not_before_ms),
            not_after: Timestamp::from_ms(certificate.not_after_ms),
        }
    }
}

impl ResealWebKey {
    pub(crate) fn new(name: &WebKey, key: &SealedKey, expected_term: u64) -> Self {
        let (directory_url, domain) = match name.clone() {
            WebKey::Account { directory_url } => (Some(directory_url), None),
            WebKey::Certificate { domain } => (None, Some(domain)),
        };
        let (keyring_term, key_ciphertext) = (key.keyring_term, key.ciphertext.clone());
        Self { directory_url, domain, keyring_term, key_ciphertext, expected_term }
    }

    pub(crate) fn name(&self) -> Result<WebKey, DecodeError> {
        match (self.directory_url.clone(), self.domain.clone()) {
            (Some(directory_url), None) => Ok(WebKey::Account { directory_url }),
            (None, Some(domain)) => Ok(WebKey::Certificate { domain }),
            _ => Err(DecodeError::Missing { what: "name of a key of the web" }),
        }
    }
}
