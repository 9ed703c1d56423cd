//! Certificates of nodes, for the x509pop attestor.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

/// Issues certificates to nodes; the server is told its root.
pub struct NodeCertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    root_path: PathBuf,
}

/// What an agent on a node is given.
#[derive(Clone, Debug)]
pub struct NodeCertificate {
    pub certificate_path: PathBuf,
    pub private_key_path: PathBuf,
}

impl NodeCertificateAuthority {
    /// Makes a root and writes it to `dir`.
    pub fn new(dir: &Path) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = named("nodes' root")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key)?;
        let root_path = dir.join("nodes-root.pem");
        write(&root_path, &root.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), root_path })
    }

    pub fn root_path(&self) -> &Path {
        &self.root_path
    }

    /// A certificate for the node `name`, written to `dir`.
    pub fn issue(&self, dir: &Path, name: &str) -> anyhow::Result<NodeCertificate> {
        let key = KeyPair::generate()?;
        let mut params = named(name)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = NodeCertificate {
            certificate_path: dir.join(format!("{name}.pem")),
            private_key_path: dir.join(format!("{name}.key.pem")),
        };
        write(&issued.certificate_path, &certificate.pem())?;
        write(&issued.private_key_path, &key.serialize_pem())?;
        Ok(issued)
    }
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::minutes(1);
    params.not_after = params.not_before + Duration::days(1);
    Ok(params)
}

fn write(path: &Path, pem: &str) -> anyhow::Result<()> {
    std::fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))
}
