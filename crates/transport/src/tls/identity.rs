//! Our own certificate and key: checked before anyone can be shown them, replaced without a restart.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use steeple_core::plugin::PrivateKey;
use steeple_core::{Clock, SpiffeId};
use tokio::sync::watch;

use super::key_elsewhere::ElsewhereKey;
use super::verifier::IdPolicy;
use super::{SharedRoots, Usage, VerifyError, verify_chain};

/// An X.509-SVID with its key.
#[derive(Debug)]
pub struct Identity {
    /// DER, leaf first, root left out.
    pub chain: Vec<Vec<u8>>,
    pub key: PrivateKey,
}

/// Where a rotation puts its result.
pub trait IdentitySink: Send + Sync {
    /// Checks `identity` as a peer would, then shows it in every later handshake. On an error the old one stays.
    fn publish(&self, identity: &Identity) -> Result<SpiffeId, IdentityError>;
}

/// Why an identity was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    #[error("private key does not belong to the leaf certificate")]
    KeyMismatch,
    #[error("private key cannot be used: it must be PKCS#8 with EC P-256, P-384, P-521, RSA or Ed25519")]
    UnusableKey,
    #[error("own certificate would be refused by peers: {0}")]
    WouldBeRefused(#[from] VerifyError),
}

/// The current identity, as rustls asks for it on either side. Empty until the first publication: a server then
/// refuses handshakes, a client sends no certificate.
pub struct IdentityStore {
    current: ArcSwapOption<CertifiedKey>,
    published: watch::Sender<bool>,
    roots: SharedRoots,
    permits: IdPolicy,
    usage: Usage,
    clock: Arc<dyn Clock>,
}

impl IdentityStore {
    /// `permits` says which IDs may become our own; `usage` is the side on which we show them.
    pub fn new(roots: SharedRoots, permits: IdPolicy, usage: Usage, clock: Arc<dyn Clock>) -> Arc<Self> {
        let published = watch::Sender::new(false);
        Arc::new(Self { current: ArcSwapOption::empty(), published, roots, permits, usage, clock })
    }

    /// Shows no certificate any more, for example when a node is banned.
    pub fn withdraw(&self) {
        self.current.store(None);
        self.published.send_replace(false);
    }

    pub fn is_published(&self) -> bool {
        self.current.load().is_some()
    }

    /// Waits until there is one to show.
    pub async fn published(&self) {
        // The sender lives as long as `self`: there is no error.
        let _ = self.published.subscribe().wait_for(|published| *published).await;
    }
}

impl IdentitySink for IdentityStore {
    fn publish(&self, identity: &Identity) -> Result<SpiffeId, IdentityError> {
        let chain: Vec<CertificateDer<'static>> = identity.chain.iter().cloned().map(CertificateDer::from).collect();
        let id = verify_chain(&chain, &self.roots.load(), self.clock.now(), self.usage)?;
        if !(self.permits)(&id) {
            return Err(VerifyError::NotPermitted(id).into());
        }
        let key: Arc<dyn SigningKey> = match &identity.key {
            PrivateKey::Here(pkcs8) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.expose()));
                aws_lc_rs::sign::any_supported_type(&key).map_err(|_| IdentityError::UnusableKey)?
            }
            PrivateKey::Elsewhere(key) => Arc::new(ElsewhereKey(Arc::clone(key))),
        };
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => return Err(IdentityError::KeyMismatch),
            Err(_) => return Err(IdentityError::UnusableKey),
        }
        self.current.store(Some(Arc::new(certified)));
        self.published.send_replace(true);
        Ok(id)
    }
}

impl ResolvesServerCert for IdentityStore {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

impl ResolvesClientCert for IdentityStore {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }

    fn has_certs(&self) -> bool {
        self.is_published()
    }
}

impl fmt::Debug for IdentityStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityStore(published: {})", self.is_published())
    }
}
