//! A certificate for HTTPS on loopback, and the root that vouches for it.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Files, PEM each.
#[derive(Clone, Debug)]
pub(crate) struct WebCertificate {
    pub(crate) roots: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl WebCertificate {
    /// For `127.0.0.1`, in `dir`.
    pub(crate) fn write(dir: &Path) -> anyhow::Result<Self> {
        let root_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key)?;
        let issuer = Issuer::new(params, root_key);
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
        let files = Self { roots: dir.join("roots.pem"), certificate: dir.join("tls.crt"), key: dir.join("tls.key") };
        std::fs::write(&files.roots, root.pem())?;
        std::fs::write(&files.certificate, leaf.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}
