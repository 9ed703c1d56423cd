//! UpstreamAuthority `disk`: a CA whose certificate and key are files. They are read at each use, so that they can be
//! replaced without a restart; while they cannot be read, the last good ones sign.

mod files;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use parking_lot::Mutex;
use steeple_ca::{Csr, Serial};
use steeple_core::plugin::{BoxFuture, MintedX509Ca, UpstreamAuthority, UpstreamBundle, UpstreamError};
use steeple_core::{Clock, JwtAuthority, TrustDomain};

use files::Loaded;

/// `plugin_data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFiles {
    /// PEM: the CA first, then intermediates above it.
    pub cert_file_path: PathBuf,
    pub key_file_path: PathBuf,
    /// PEM: the roots. Without it the certificate is the root, and alone in its file.
    pub bundle_file_path: Option<PathBuf>,
}

pub struct DiskAuthority {
    files: DiskFiles,
    trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
    last_good: Mutex<Arc<Loaded>>,
}

impl DiskAuthority {
    /// Files that cannot be used are refused here; later ones only replace these.
    pub fn open(files: DiskFiles, trust_domain: TrustDomain, clock: Arc<dyn Clock>) -> Result<Self, UpstreamError> {
        let loaded = Loaded::read(&files, &trust_domain, clock.now())?;
        Ok(Self { files, trust_domain, clock, last_good: Mutex::new(Arc::new(loaded)) })
    }

    fn current(&self) -> Arc<Loaded> {
        let mut last_good = self.last_good.lock();
        match Loaded::read(&self.files, &self.trust_domain, self.clock.now()) {
            Ok(loaded) => *last_good = Arc::new(loaded),
            Err(error) => {
                tracing::warn!(error = %error, "upstream CA cannot be read again: the copy in memory is used");
            }
        }
        Arc::clone(&last_good)
    }

    fn mint(&self, csr: &[u8], preferred_ttl: Duration) -> Result<MintedX509Ca, UpstreamError> {
        let failed = |why: &dyn std::fmt::Display| UpstreamError::failed(format!("unable to sign CSR: {why}"));
        let loaded = self.current();
        let csr = Csr::parse(csr).map_err(|error| failed(&error))?;
        csr.verify_signature().map_err(|error| failed(&format!("CSR signature check failed: {error}")))?;
        if csr.uris != [self.trust_domain.id().as_str()] {
            return Err(failed(&format!("must use the trust domain ID for trust domain \"{}\"", self.trust_domain)));
        }
        let serial = Serial::random(&SystemRandom::new()).map_err(|error| failed(&error))?;
        let signed = loaded.issuer.issue_server_ca(self.clock.now(), &self.trust_domain, &csr, serial, preferred_ttl);
        let certificate = signed.map_err(|error| failed(&error))?;
        let chain = std::iter::once(certificate.der).chain(loaded.chain.iter().cloned()).collect();
        Ok(MintedX509Ca { chain, roots: loaded.roots.clone() })
    }
}

impl UpstreamAuthority for DiskAuthority {
    fn name(&self) -> &str {
        NAME
    }

    fn mint_x509_ca<'a>(
        &'a self,
        csr: &'a [u8],
        preferred_ttl: Duration,
    ) -> BoxFuture<'a, Result<MintedX509Ca, UpstreamError>> {
        Box::pin(async move { self.mint(csr, preferred_ttl) })
    }

    fn publish_jwt_key<'a>(&'a self, _key: &'a JwtAuthority) -> BoxFuture<'a, Result<(), UpstreamError>> {
        Box::pin(async { Err(UpstreamError::Unsupported("publishing upstream")) })
    }

    fn bundle(&self) -> BoxFuture<'_, Result<UpstreamBundle, UpstreamError>> {
        Box::pin(async { Err(UpstreamError::Unsupported("fetching upstream trust bundle")) })
    }
}

const NAME: &str = "disk";
