//! Certificates of devices whose keys are in TPMs, for the tpm_devid attestor.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SignatureAlgorithm,
};
use steeple_tpm::{Curve, PublicKey};
use time::{Duration, OffsetDateTime};

/// Certifies keys of devices; the server is told its root.
pub struct DevIdAuthority {
    issuer: Issuer<'static, KeyPair>,
    /// Certificates between the issuer and the root, PEM.
    intermediates: String,
    root_path: PathBuf,
}

/// Of a device's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevIdKind {
    P256,
    P384,
    /// 2048 bits.
    Rsa,
}

/// What an agent on a device is given.
#[derive(Clone, Debug)]
pub struct DevId {
    pub certificate_path: PathBuf,
    pub private_path: PathBuf,
    pub public_path: PathBuf,
    /// Of the key; may be empty.
    pub password: String,
}

/// A TPM's key as certificates have it.
struct Certified {
    bytes: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl DevIdAuthority {
    /// Makes a root and writes it to `dir`.
    pub fn new(dir: &Path, name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let params = authority(name)?;
        let root_path = dir.join(format!("{name}.pem"));
        write(&root_path, params.self_signed(&key)?.pem().as_bytes())?;
        Ok(Self { issuer: Issuer::new(params, key), intermediates: String::new(), root_path })
    }

    /// One that the root vouches for.
    pub fn intermediate(&self, name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let params = authority(name)?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        let intermediates = format!("{certificate}{}", self.intermediates);
        Ok(Self { issuer: Issuer::new(params, key), intermediates, root_path: self.root_path.clone() })
    }

    pub fn root_path(&self) -> &Path {
        &self.root_path
    }

    /// The certificate of the device `name` with those of its authorities, PEM.
    pub(crate) fn certify(&self, name: &str, key: &PublicKey) -> anyhow::Result<String> {
        let mut params = named(name)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let certificate = params.signed_by(&Certified::of(key)?, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), self.intermediates))
    }
}

impl Certified {
    fn of(key: &PublicKey) -> anyhow::Result<Self> {
        Ok(match key {
            PublicKey::Rsa { n, e } if n.len() == 256 && e == &[1, 0, 1] => Self {
                // RSAPublicKey (RFC 8017, appendix A.1.1): a SEQUENCE of two INTEGERs.
                bytes: [[0x30, 0x82, 1, 10, 0x02, 0x82, 1, 1, 0].as_slice(), n, &[0x02, 3, 1, 0, 1]].concat(),
                algorithm: &rcgen::PKCS_RSA_SHA256,
            },
            PublicKey::Ecc { curve: Curve::P256, point } => {
                Self { bytes: point.clone(), algorithm: &rcgen::PKCS_ECDSA_P256_SHA256 }
            }
            PublicKey::Ecc { curve: Curve::P384, point } => {
                Self { bytes: point.clone(), algorithm: &rcgen::PKCS_ECDSA_P384_SHA384 }
            }
            other => bail!("nobody certifies {other:?} here"),
        })
    }
}

impl PublicKeyData for Certified {
    fn der_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

fn authority(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = named(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - Duration::minutes(1);
    params.not_after = params.not_before + Duration::days(365);
    Ok(params)
}

pub(crate) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
