//! A certificate with its key, checked before anybody is shown it.

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use steeple_ca::certificate::facts;
use steeple_core::{Secret, Timestamp};
use webpki::EndEntityCert;

use crate::Validity;

/// What an order brought.
#[derive(Debug)]
pub struct Obtained {
    pub domain: String,
    /// DER: the certificate first, then what stands above it.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8.
    pub key: Secret,
    pub validity: Validity,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the certificate for {domain} has no PEM: {why}")]
    Pem { domain: String, why: String },
    #[error("the certificate chain for {domain} has {found} certificates, not 1 to {CHAIN_MAX}")]
    Chain { domain: String, found: usize },
    #[error("the certificate for {domain} cannot be read")]
    Malformed { domain: String },
    #[error("the certificate for {domain} is for another name")]
    OtherName { domain: String },
    #[error("the certificate for {domain} ended before it came")]
    Ended { domain: String },
    #[error("the key of the certificate for {domain} cannot be used: {why}")]
    Key { domain: String, why: String },
}

impl Obtained {
    /// From what the ACME server sent in answer to a request that was signed with `key`.
    pub(crate) fn check(domain: &str, pem: &str, key: Secret, now: Timestamp) -> Result<Self, CertificateError> {
        let chain = read_chain(domain, pem.as_bytes())?;
        certified_key(domain, &chain, PrivatePkcs8KeyDer::from(key.expose()).into())?;
        let validity = validity(domain, &chain)?;
        if validity.not_after <= now {
            return Err(CertificateError::Ended { domain: domain.to_owned() });
        }
        Ok(Self { domain: domain.to_owned(), chain, key, validity })
    }
}

/// The certificates of a PEM text.
pub(crate) fn read_chain(domain: &str, pem: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(CHAIN_MAX + 1).collect();
    let chain = chain.map_err(|error| CertificateError::Pem { domain: domain.to_owned(), why: error.to_string() })?;
    if !(1..=CHAIN_MAX).contains(&chain.len()) {
        return Err(CertificateError::Chain { domain: domain.to_owned(), found: chain.len() });
    }
    Ok(chain.into_iter().map(|certificate| certificate.to_vec()).collect())
}

/// For handshakes, if the certificate is for `domain` and the key its own.
pub(crate) fn certified_key(
    domain: &str,
    chain: &[Vec<u8>],
    key: PrivateKeyDer<'_>,
) -> Result<CertifiedKey, CertificateError> {
    let malformed = || CertificateError::Malformed { domain: domain.to_owned() };
    let leaf = CertificateDer::from(chain.first().ok_or_else(malformed)?.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(|_| malformed())?;
    let name = ServerName::try_from(domain).map_err(|_| malformed())?;
    if leaf.verify_is_valid_for_subject_name(&name).is_err() {
        return Err(CertificateError::OtherName { domain: domain.to_owned() });
    }
    let unusable = |error: rustls::Error| CertificateError::Key { domain: domain.to_owned(), why: error.to_string() };
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(unusable)?;
    let certified = CertifiedKey::new(chain.iter().cloned().map(CertificateDer::from).collect(), key);
    certified.keys_match().map_err(unusable)?;
    Ok(certified)
}

pub(crate) fn validity(domain: &str, chain: &[Vec<u8>]) -> Result<Validity, CertificateError> {
    let facts = chain.first().and_then(|leaf| facts(leaf));
    let facts = facts.ok_or_else(|| CertificateError::Malformed { domain: domain.to_owned() })?;
    Ok(Validity { not_before: facts.not_before, not_after: facts.not_after })
}

/// A chain of the web has three or four.
const CHAIN_MAX: usize = 16;
