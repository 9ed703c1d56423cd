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
        Self::make(KeyPair::generate()?, dir)
    }

    /// The authority that is kept in `dir`, for a server that was started by somebody else; made there if it is not.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let (root_path, key_path) = (dir.join(ROOT), dir.join(KEY));
        if !key_path.exists() {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            let key = KeyPair::generate()?;
            write(&key_path, &key.serialize_pem())?;
            return Self::make(key, dir);
        }
        let read =
            |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let key = KeyPair::from_pem(&read(&key_path)?)?;
        let issuer = Issuer::from_ca_cert_pem(&read(&root_path)?, key)?;
        Ok(Self { issuer, root_path })
    }

    fn make(key: KeyPair, dir: &Path) -> anyhow::Result<Self> {
        let mut params = named("nodes' root", Duration::days(ROOT_DAYS))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key)?;
        let root_path = dir.join(ROOT);
        write(&root_path, &root.pem())?;
        Ok(Self { issuer: Issuer::new(params, key), root_path })
    }

    pub fn root_path(&self) -> &Path {
        &self.root_path
    }

    /// A certificate for the node `name`, written to `dir`.
    pub fn issue(&self, dir: &Path, name: &str) -> anyhow::Result<NodeCertificate> {
        self.issue_for(dir, name, NODE_DAYS)
    }

    /// The same, valid for so many days.
    pub fn issue_for(&self, dir: &Path, name: &str, days: u16) -> anyhow::Result<NodeCertificate> {
        let key = KeyPair::generate()?;
        let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", self.signed(name, &key, days)?));
        let issued = NodeCertificate {
            certificate_path: dir.join(format!("{name}.pem")),
            private_key_path: dir.join(format!("{name}.key.pem")),
        };
        write(&issued.certificate_path, &certificate)?;
        write(&issued.private_key_path, &key.serialize_pem())?;
        Ok(issued)
    }

    /// The certificate alone, in DER, for a node that has its key already. `name` becomes the common name, which
    /// several nodes may share.
    pub fn certify(&self, name: &str, key: &KeyPair) -> anyhow::Result<Vec<u8>> {
        self.signed(name, key, NODE_DAYS)
    }

    fn signed(&self, name: &str, key: &KeyPair, days: u16) -> anyhow::Result<Vec<u8>> {
        let mut params = named(name, Duration::days(i64::from(days)))?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Ok(params.signed_by(key, &self.issuer)?.der().to_vec())
    }
}

fn named(name: &str, valid: Duration) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::minutes(1);
    params.not_after = params.not_before + valid;
    Ok(params)
}

fn write(path: &Path, pem: &str) -> anyhow::Result<()> {
    std::fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))
}

const ROOT: &str = "nodes-root.pem";
const KEY: &str = "nodes-root.key.pem";
/// A server that runs for weeks is measured more than once.
const ROOT_DAYS: i64 = 365;
const NODE_DAYS: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_is_kept_stays_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let first = NodeCertificateAuthority::open(dir.path()).unwrap();
        let root = std::fs::read(first.root_path()).unwrap();
        let second = NodeCertificateAuthority::open(dir.path()).unwrap();
        assert_eq!(std::fs::read(second.root_path()).unwrap(), root);
        let key = KeyPair::generate().unwrap();
        assert_ne!(second.certify("node", &key).unwrap(), second.certify("node", &key).unwrap(), "serials differ");
    }
}
