//! A certificate and its key in PEM files, looked at again now and then: whatever renews them need not tell us.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};
use tracing::{error, info};

/// What the two files hold, for handshakes. Files that are bad after they were good change nothing.
pub struct CertFiles {
    certificate_path: PathBuf,
    key_path: PathBuf,
    current: ArcSwap<CertifiedKey>,
    modified: Mutex<Modified>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertFilesError {
    #[error("{}", steeple_core::unreadable(path, source))]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no PEM file of {what}: {source}", path.display())]
    Pem { path: PathBuf, what: &'static str, source: pem::Error },
    #[error("{} has no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} has more than {CERTIFICATES_MAX} certificates", .0.display())]
    TooManyCertificates(PathBuf),
    #[error("{} has more than {FILE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("the key in {} cannot be used: it must be EC P-256, P-384, P-521, RSA or Ed25519", .0.display())]
    UnusableKey(PathBuf),
    /// Go's text.
    #[error("tls: private key does not match public key")]
    KeyMismatch { certificate: PathBuf, key: PathBuf },
}

/// When each file was last written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Modified {
    certificate: SystemTime,
    key: SystemTime,
}

impl CertFiles {
    /// Reads both files; they must be good at the start.
    pub fn load(certificate_path: &Path, key_path: &Path) -> Result<Arc<Self>, CertFilesError> {
        // Before the content: a file that is replaced meanwhile is read again.
        let modified = Modified::of(certificate_path, key_path)?;
        let current = certified_key(certificate_path, key_path)?;
        Ok(Arc::new(Self {
            certificate_path: certificate_path.to_owned(),
            key_path: key_path.to_owned(),
            current: ArcSwap::from_pointee(current),
            modified: Mutex::new(modified),
        }))
    }

    /// Looks at the files every `interval` until `stop`.
    pub async fn watch(self: Arc<Self>, interval: Duration, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(interval) => {}
            }
            let files = Arc::clone(&self);
            // Two small files, but perhaps on a network volume.
            let synced = tokio::task::spawn_blocking(move || files.sync()).await;
            if let Ok(Err(error)) = synced {
                error!(%error, "Failed to load certificate");
            }
        }
    }

    /// Reads the files again if one of them was written since; says whether.
    pub fn sync(&self) -> Result<bool, CertFilesError> {
        let found = Modified::of(&self.certificate_path, &self.key_path)?;
        if *self.modified.lock() == found {
            return Ok(false);
        }
        info!("File change detected, reloading certificate and key...");
        self.current.store(Arc::new(certified_key(&self.certificate_path, &self.key_path)?));
        *self.modified.lock() = found;
        info!("Loaded provided certificate with success");
        Ok(true)
    }
}

impl ResolvesServerCert for CertFiles {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl ResolvesClientCert for CertFiles {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for CertFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertFiles({})", self.certificate_path.display())
    }
}

impl Modified {
    fn of(certificate_path: &Path, key_path: &Path) -> Result<Self, CertFilesError> {
        Ok(Self { certificate: written_at(certificate_path)?, key: written_at(key_path)? })
    }
}

fn written_at(path: &Path) -> Result<SystemTime, CertFilesError> {
    let unreadable = |source| CertFilesError::Io { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(CertFilesError::TooLarge(path.to_owned()));
    }
    metadata.modified().map_err(unreadable)
}

fn certified_key(certificate_path: &Path, key_path: &Path) -> Result<CertifiedKey, CertFilesError> {
    let bad = |path: &Path, what| {
        let path = path.to_owned();
        move |error| match error {
            pem::Error::Io(source) => CertFilesError::Io { path, source },
            source => CertFilesError::Pem { path, what, source },
        }
    };
    let certificates =
        CertificateDer::pem_file_iter(certificate_path).map_err(bad(certificate_path, "certificates"))?;
    let chain: Vec<_> = certificates
        .take(CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(bad(certificate_path, "certificates"))?;
    match chain.len() {
        0 => return Err(CertFilesError::NoCertificate(certificate_path.to_owned())),
        1..=CERTIFICATES_MAX => {}
        _ => return Err(CertFilesError::TooManyCertificates(certificate_path.to_owned())),
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(bad(key_path, "a private key"))?;
    let key =
        aws_lc_rs::sign::any_supported_type(&key).map_err(|_| CertFilesError::UnusableKey(key_path.to_owned()))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| CertFilesError::KeyMismatch {
        certificate: certificate_path.to_owned(),
        key: key_path.to_owned(),
    })?;
    Ok(certified)
}

/// A chain of the web has three or four.
const CERTIFICATES_MAX: usize = 16;
/// Both files together are a few KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
