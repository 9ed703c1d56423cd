//! The CA as its files say.

use std::path::Path;

use steeple_ca::{CaIssuer, IssueError, SigningKey};
use steeple_core::plugin::UpstreamError;
use steeple_core::{Secret, Timestamp, TrustDomain, unreadable};

use super::DiskFiles;
use crate::ca_check::check_ca;

/// A CA that has been tried out.
pub(super) struct Loaded {
    pub issuer: CaIssuer,
    /// DER: what stands above a CA that this one signs, without the root.
    pub chain: Vec<Vec<u8>>,
    /// DER.
    pub roots: Vec<Vec<u8>>,
}

impl Loaded {
    /// The texts are SPIRE's.
    pub fn read(files: &DiskFiles, trust_domain: &TrustDomain, now: Timestamp) -> Result<Self, UpstreamError> {
        let key = private_key(&files.key_file_path)
            .map_err(|why| UpstreamError::failed(format!("unable to load upstream CA key: {why}")))?;
        let public_key = key.public_key().clone();
        let certificates = certificates(&files.cert_file_path)
            .map_err(|why| UpstreamError::failed(format!("unable to load upstream CA cert: {why}")))?;
        let [certificate, intermediates @ ..] = certificates.as_slice() else {
            return Err(UpstreamError::failed("unable to load upstream CA cert: no certificate found"));
        };
        let issuer = CaIssuer::new(certificate, intermediates, key).map_err(|error| match error {
            IssueError::KeyMismatch => {
                UpstreamError::failed("unable to load upstream CA: certificate and private key do not match")
            }
            other => UpstreamError::failed(format!("unable to load upstream CA: {other}")),
        })?;
        let (chain, roots) = match &files.bundle_file_path {
            Some(path) => {
                let roots = self::certificates(path)
                    .map_err(|why| UpstreamError::failed(format!("unable to load upstream CA bundle: {why}")))?;
                (certificates, roots)
            }
            None if intermediates.is_empty() => (Vec::new(), certificates),
            None => {
                return Err(UpstreamError::failed(
                    "with no bundle_file_path configured only self-signed CAs are supported",
                ));
            }
        };
        check_ca(&issuer, &public_key, trust_domain, &roots, now).map_err(|why| {
            UpstreamError::failed(format!(
                "unable to load upstream CA: certificate cannot be validated with the provided bundle or is not \
                 self-signed: {why}"
            ))
        })?;
        Ok(Self { issuer, chain, roots })
    }
}

fn private_key(path: &Path) -> Result<SigningKey, String> {
    let block = read_pem(path)?.into_iter().find(|block| block.tag().ends_with("PRIVATE KEY"));
    let block = block.ok_or_else(|| format!("{}: no private key found", path.display()))?;
    let der = Secret::new(block.into_contents());
    SigningKey::from_der(&der).map_err(|error| format!("{}: {error}", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let blocks = read_pem(path)?.into_iter().filter(|block| block.tag() == "CERTIFICATE");
    let certificates: Vec<Vec<u8>> = blocks.map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        return Err(format!("{}: no certificate found", path.display()));
    }
    Ok(certificates)
}

fn read_pem(path: &Path) -> Result<Vec<pem::Pem>, String> {
    let text = std::fs::read(path).map(zeroize::Zeroizing::new);
    let text = text.map_err(|error| unreadable(path, &error))?;
    pem::parse_many(text.as_slice()).map_err(|error| format!("{}: {error}", path.display()))
}
