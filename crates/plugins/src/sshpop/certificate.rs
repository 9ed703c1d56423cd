//! OpenSSH certificates: reading them, and whether one says that a host is whom it names.

use steeple_core::Timestamp;

use super::authorities::Authorities;
use super::public_key::{KeyError, PublicKey};
use super::reader::{Reader, ShortRead};
use super::wire::Signature;
use crate::json::Bytes;

/// A certificate that has been read and not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub key: PublicKey,
    pub serial: u64,
    kind: u32,
    pub key_id: String,
    pub principals: Vec<String>,
    valid_after: u64,
    valid_before: u64,
    critical_options: Vec<String>,
    /// The key that signed it, as it stands in the certificate.
    authority: Vec<u8>,
    signature: Signature,
    /// Everything before the signature.
    signed: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("failed to parse public key: {0}")]
    Short(#[from] ShortRead),
    #[error("failed to parse public key: {0}")]
    Key(#[from] KeyError),
    #[error("failed to parse public key: ssh: certificate options are not in lexical order")]
    OptionOrder,
    #[error("pubkey in response is not a certificate")]
    NoCertificate,
}

/// Go's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CheckError {
    #[error("ssh: certificate presented as a host key has type {0}")]
    Kind(u32),
    #[error("ssh: no authorities for hostname: {0}:22")]
    Authority(String),
    #[error("ssh: unsupported critical option {0:?} in certificate")]
    CriticalOption(String),
    #[error("ssh: cert is not yet valid")]
    NotYetValid,
    #[error("ssh: cert has expired")]
    Expired,
    #[error("ssh: certificate signature does not verify")]
    Signature,
    #[error("ssh: certificate is signed with SHA-1 (ssh-rsa): sign it with rsa-sha2-256 or rsa-sha2-512")]
    Sha1,
}

impl Certificate {
    pub(super) fn parse(blob: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader(blob);
        let algorithm = reader.text()?;
        let Some(key_algorithm) = algorithm.strip_suffix(CERTIFICATE_SUFFIX) else {
            PublicKey::parse(blob)?;
            return Err(ReadError::NoCertificate);
        };
        let _nonce = reader.string()?;
        let key = PublicKey::read(key_algorithm, &mut reader)?;
        Self::rest(blob, key, reader)
    }

    /// What is the same for every kind of key.
    fn rest(blob: &[u8], key: PublicKey, mut reader: Reader<'_>) -> Result<Self, ReadError> {
        let serial = reader.u64()?;
        let kind = reader.u32()?;
        let key_id = reader.text()?.to_owned();
        let principals = texts(reader.string()?)?;
        let valid_after = reader.u64()?;
        let valid_before = reader.u64()?;
        let critical_options = options(reader.string()?)?;
        options(reader.string()?)?;
        let _reserved = reader.string()?;
        let authority = reader.string()?.to_vec();
        let signed = blob[..blob.len() - reader.0.len()].to_vec();
        let signature = signature(reader.string()?)?;
        reader.end()?;
        PublicKey::parse(&authority)?;
        Ok(Self {
            key,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options,
            authority,
            signature,
            signed,
        })
    }

    /// Whether one of `authorities` says at `now` that the host is its first principal.
    pub(super) fn check(&self, authorities: &Authorities, now: Timestamp) -> Result<(), CheckError> {
        if self.kind != HOST {
            return Err(CheckError::Kind(self.kind));
        }
        let unknown = || CheckError::Authority(self.principals.first().cloned().unwrap_or_default());
        let authority = authorities.find(&self.authority).ok_or_else(unknown)?;
        if let Some(option) = self.critical_options.iter().find(|option| *option != SOURCE_ADDRESS) {
            return Err(CheckError::CriticalOption(option.clone()));
        }
        let now = u64::try_from(now.as_secs()).unwrap_or(0);
        if now < self.valid_after {
            return Err(CheckError::NotYetValid);
        }
        if self.valid_before != FOREVER && now >= self.valid_before {
            return Err(CheckError::Expired);
        }
        // Two certificates with one SHA-1 can be made by whoever asks for them.
        if self.signature.format == "ssh-rsa" {
            return Err(CheckError::Sha1);
        }
        authority.verify(&self.signed, &self.signature).map_err(|_| CheckError::Signature)
    }
}

fn texts(list: &[u8]) -> Result<Vec<String>, ShortRead> {
    let mut reader = Reader(list);
    let mut texts = Vec::new();
    while !reader.is_empty() {
        texts.push(reader.text()?.to_owned());
    }
    Ok(texts)
}

/// The names of options; each may stand once, and in order, so that a certificate has one form.
fn options(list: &[u8]) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader(list);
    let mut names: Vec<String> = Vec::new();
    while !reader.is_empty() {
        let name = reader.text()?;
        if names.last().is_some_and(|last| last.as_str() >= name) {
            return Err(ReadError::OptionOrder);
        }
        let mut value = Reader(reader.string()?);
        if !value.is_empty() {
            value.string()?;
            value.end()?;
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn signature(body: &[u8]) -> Result<Signature, ShortRead> {
    let mut reader = Reader(body);
    let (format, blob) = (reader.text()?.to_owned(), reader.string()?.to_vec());
    reader.end()?;
    Ok(Signature { format, blob: Bytes(blob), rest: None })
}

const CERTIFICATE_SUFFIX: &str = "-cert-v01@openssh.com";
/// `SSH_CERT_TYPE_HOST`.
const HOST: u32 = 2;
const FOREVER: u64 = u64::MAX;
/// For users; Go leaves it to whoever knows the client's address.
const SOURCE_ADDRESS: &str = "source-address";
