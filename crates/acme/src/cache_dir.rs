//! The store of a program that is one process: memory, and files that outlive it. Names and content are those of Go's
//! `autocert.DirCache`, so that a directory which SPIRE's provider filled is gone on with, and the other way round.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use parking_lot::Mutex;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use steeple_core::{Secret, unreadable};
use steeple_files::write_private_file;
use zeroize::Zeroizing;

use crate::certificate::{read_chain, validity};
use crate::{CertificateError, Obtained, Store, StoreError, Validity, WebCertificates};

pub struct CacheDir {
    /// `None`: nothing outlives the process.
    dir: Option<PathBuf>,
    challenges: Arc<Mutex<BTreeMap<String, [u8; 32]>>>,
    held: Mutex<Held>,
    shown: Arc<WebCertificates>,
}

#[derive(Default)]
struct Held {
    account_key: Option<Secret>,
    validity: BTreeMap<String, Validity>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot use the ACME cache directory {}: {source}; set acme {{ cache_dir }}", path.display())]
pub struct CacheDirError {
    path: PathBuf,
    source: io::Error,
}

impl CacheDir {
    /// Makes the directory where it is missing, and shows what it has for `domains`. What cannot be used is told, and
    /// obtained anew.
    pub fn open(dir: Option<PathBuf>, domains: &[String]) -> Result<Self, CacheDirError> {
        let challenges: Arc<Mutex<BTreeMap<String, [u8; 32]>>> = Arc::default();
        let asked = Arc::clone(&challenges);
        let shown = WebCertificates::new(move |domain| asked.lock().get(domain).copied());
        let cache = Self { dir, challenges, held: Mutex::default(), shown };
        let Some(dir) = &cache.dir else { return Ok(cache) };
        make(dir).map_err(|source| CacheDirError { path: dir.clone(), source })?;
        for domain in domains {
            match cache.read(dir, domain) {
                Ok(()) => {}
                Err(ReadError::Missing) => tracing::debug!(domain, "no certificate in the ACME cache"),
                Err(ReadError::Unusable(why)) => {
                    tracing::warn!(domain, error = why, "the certificate in the ACME cache cannot be used");
                }
            }
        }
        Ok(cache)
    }

    /// For the listener.
    pub fn shown(&self) -> Arc<WebCertificates> {
        Arc::clone(&self.shown)
    }

    fn read(&self, dir: &Path, domain: &str) -> Result<(), ReadError> {
        let content = read_file(&dir.join(domain))?;
        let key = PrivateKeyDer::from_pem_slice(&content).map_err(|error| ReadError::Unusable(error.to_string()))?;
        let chain = read_chain(domain, &content)?;
        self.shown.show(domain, &chain, key)?;
        self.held.lock().validity.insert(domain.to_owned(), validity(domain, &chain)?);
        Ok(())
    }
}

impl Store for CacheDir {
    async fn account_key(&self, _: &str) -> Result<Option<Secret>, StoreError> {
        if let Some(key) = &self.held.lock().account_key {
            return Ok(Some(key.duplicate()));
        }
        let Some(dir) = &self.dir else { return Ok(None) };
        match read_file(&dir.join(ACCOUNT_FILE)) {
            Ok(content) => account_key(&content).map(Some),
            Err(ReadError::Missing) => Ok(None),
            Err(ReadError::Unusable(why)) => Err(StoreError(why)),
        }
    }

    async fn keep_account_key(&self, _: &str, key: &Secret) -> Result<(), StoreError> {
        self.held.lock().account_key = Some(key.duplicate());
        self.write(ACCOUNT_FILE, &key_pem(key))
    }

    async fn show_challenge(&self, domain: &str, digest: [u8; 32]) -> Result<(), StoreError> {
        self.challenges.lock().insert(domain.to_owned(), digest);
        Ok(())
    }

    async fn hide_challenge(&self, domain: &str) -> Result<(), StoreError> {
        self.challenges.lock().remove(domain);
        Ok(())
    }

    fn validity(&self, domain: &str) -> Option<Validity> {
        self.held.lock().validity.get(domain).copied()
    }

    async fn keep(&self, obtained: &Obtained) -> Result<(), StoreError> {
        let domain = &obtained.domain;
        let key = PrivatePkcs8KeyDer::from(obtained.key.expose()).into();
        self.shown.show(domain, &obtained.chain, key).map_err(|error| StoreError(error.to_string()))?;
        self.held.lock().validity.insert(domain.clone(), obtained.validity);
        self.challenges.lock().remove(domain);
        let mut content = key_pem(&obtained.key);
        for certificate in &obtained.chain {
            content.push_str(&pem::encode_config(&Pem::new("CERTIFICATE", certificate.as_slice()), encoding()));
        }
        self.write(domain, &content)
    }
}

impl CacheDir {
    fn write(&self, name: &str, content: &str) -> Result<(), StoreError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        write_private_file(&dir.join(name), content.as_bytes()).map_err(|error| StoreError(error.to_string()))
    }
}

#[derive(Debug)]
enum ReadError {
    Missing,
    Unusable(String),
}

impl From<CertificateError> for ReadError {
    fn from(error: CertificateError) -> Self {
        Self::Unusable(error.to_string())
    }
}

fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700))
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(ReadError::Unusable(format!("{} has more than {FILE_BYTES_MAX} bytes", path.display())));
        }
        _ => {}
    }
    let read = std::fs::read(path).map(Zeroizing::new);
    read.map_err(|error| ReadError::Unusable(unreadable(path, &error)))
}

/// Go writes the form of SEC 1.
fn account_key(content: &[u8]) -> Result<Secret, StoreError> {
    let unusable = |why: &dyn std::fmt::Display| StoreError(format!("{ACCOUNT_FILE} cannot be used: {why}"));
    match PrivateKeyDer::from_pem_slice(content).map_err(|error| unusable(&error))? {
        PrivateKeyDer::Pkcs8(der) => Ok(Secret::new(der.secret_pkcs8_der().to_vec())),
        PrivateKeyDer::Sec1(der) => {
            let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der.secret_sec1_der());
            let pkcs8 = pair.map_err(|error| unusable(&error))?.to_pkcs8v1().map_err(|error| unusable(&error))?;
            Ok(Secret::new(pkcs8.as_ref().to_vec()))
        }
        _ => Err(unusable(&"it is no EC key; remove the file, and another account is opened")),
    }
}

fn key_pem(key: &Secret) -> Zeroizing<String> {
    Zeroizing::new(pem::encode_config(&Pem::new("PRIVATE KEY", key.expose()), encoding()))
}

fn encoding() -> EncodeConfig {
    EncodeConfig::new().set_line_ending(LineEnding::LF)
}

/// As autocert names it.
const ACCOUNT_FILE: &str = "acme_account+key";
/// A key and a chain are a few KiB.
const FILE_BYTES_MAX: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use steeple_ca::generate_pkcs8;
    use steeple_core::{KeyType, Timestamp};

    use super::*;

    const DOMAIN: &str = "oidc.one.test";

    fn obtained(domain: &str) -> Obtained {
        let key = generate_pkcs8(KeyType::EcP256).unwrap();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose()));
        let pair = KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = CertificateParams::new(vec![domain.to_owned()]).unwrap().self_signed(&pair).unwrap();
        let chain = vec![certificate.der().to_vec()];
        let validity = validity(domain, &chain).unwrap();
        Obtained { domain: domain.to_owned(), chain, key, validity }
    }

    #[tokio::test]
    async fn what_is_kept_outlives_the_process_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        let open = || CacheDir::open(Some(path.clone()), &[DOMAIN.to_owned()]).unwrap();
        let (cache, obtained) = (open(), obtained(DOMAIN));
        assert!(matches!(cache.account_key("https://a.test/").await, Ok(None)));
        cache.keep_account_key("https://a.test/", &obtained.key).await.unwrap();
        cache.keep(&obtained).await.unwrap();
        let modes = [path.clone(), path.join(ACCOUNT_FILE), path.join(DOMAIN)]
            .map(|path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777);
        assert_eq!(modes, [0o700, 0o600, 0o600]);

        let again = open();
        assert_eq!(again.validity(DOMAIN), Some(obtained.validity));
        let key = again.account_key("https://a.test/").await.unwrap().unwrap();
        assert_eq!(key.expose(), obtained.key.expose());
        assert!(format!("{:?}", again.shown()).contains(DOMAIN));
    }

    /// As Go's x509.MarshalECPrivateKey writes it.
    #[tokio::test]
    async fn an_account_that_go_opened_is_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let key = generate_pkcs8(KeyType::EcP256).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.expose()).unwrap();
        // The SEC 1 structure is the last field of a PKCS#8 document.
        let at = key.expose().windows(5).position(|five| five == [0x30, 0x6b, 0x02, 0x01, 0x01]).unwrap();
        let sec1 = Pem::new("EC PRIVATE KEY", &key.expose()[at..]);
        std::fs::write(dir.path().join(ACCOUNT_FILE), pem::encode(&sec1)).unwrap();
        let cache = CacheDir::open(Some(dir.path().to_owned()), &[]).unwrap();
        let read = cache.account_key("").await.unwrap().unwrap();
        let read = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, read.expose()).unwrap();
        use aws_lc_rs::signature::KeyPair as _;
        assert_eq!(read.public_key().as_ref(), pair.public_key().as_ref());
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_obtained_anew() {
        let dir = tempfile::tempdir().unwrap();
        let other = obtained("other.test");
        let chain = pem::encode(&Pem::new("CERTIFICATE", other.chain[0].as_slice()));
        for content in ["".to_owned(), "nonsense".to_owned(), format!("{}{chain}", *key_pem(&other.key))] {
            std::fs::write(dir.path().join(DOMAIN), content).unwrap();
            let cache = CacheDir::open(Some(dir.path().to_owned()), &[DOMAIN.to_owned()]).unwrap();
            assert_eq!(cache.validity(DOMAIN), None);
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = CacheDir::open(Some(file.clone()), &[]).map(drop).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot use the ACME cache directory {}: ", file.display())), "{error}");
    }

    #[tokio::test]
    async fn without_a_directory_memory_is_enough() {
        let cache = CacheDir::open(None, &[DOMAIN.to_owned()]).unwrap();
        let obtained = obtained(DOMAIN);
        assert_eq!(cache.validity(DOMAIN), None);
        cache.keep_account_key("", &obtained.key).await.unwrap();
        cache.keep(&obtained).await.unwrap();
        assert!(obtained.validity.not_after > Timestamp::default());
        assert_eq!(cache.validity(DOMAIN), Some(obtained.validity));
        assert!(cache.account_key("").await.unwrap().is_some());
    }
}
