//! `cluster { seal "KIND" { } }`: what guards the sealing key.

use std::path::{Path, PathBuf};

use steeple_core::plugin::SecretSource;

use super::secret::SecretFile;
use crate::common::{absolute, given};
use crate::quote::go_quoted;
use crate::section::Section;
use crate::suggest::nearest;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError};

/// What a file says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealFile {
    pub kind: String,
    /// The passphrase, the PIN or the token: where it is.
    pub secret: SecretFile,
    pub address: Option<String>,
    pub ca_cert_path: Option<String>,
    pub key_label: Option<String>,
    pub key_name: Option<String>,
    pub module_path: Option<String>,
    pub mount_path: Option<String>,
    pub namespace: Option<String>,
    pub token_label: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealSettings {
    /// Nothing: the file holds the key as it is.
    File,
    Passphrase(SecretSource),
    Pkcs11(Pkcs11Settings),
    Transit(TransitSettings),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// The library of the hardware's maker.
    pub module_path: PathBuf,
    pub token_label: String,
    pub key_label: String,
    pub pin: SecretSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitSettings {
    /// `https://host[:port]`, without a slash at the end.
    pub address: String,
    /// Where the secrets engine is mounted, without slashes around it.
    pub mount_path: String,
    pub key_name: String,
    pub token: SecretSource,
    /// Of Vault Enterprise and OpenBao.
    pub namespace: Option<String>,
    /// PEM; `None` trusts the roots of the operating system.
    pub ca_cert_path: Option<PathBuf>,
}

impl SealSettings {
    /// The kind of a key that lies in its file as it is.
    pub const FILE: &str = FILE;

    /// What opens it.
    pub(super) fn secret(&self) -> Option<&SecretSource> {
        match self {
            Self::File => None,
            Self::Passphrase(passphrase) => Some(passphrase),
            Self::Pkcs11(Pkcs11Settings { pin, .. }) => Some(pin),
            Self::Transit(TransitSettings { token, .. }) => Some(token),
        }
    }
}

impl SealFile {
    /// An unknown kind is refused when it is resolved, with those that there are.
    pub(super) fn read(
        (kind, mut section): (&str, Section<'_>),
        unknown: &mut Vec<UnknownKeys>,
    ) -> Result<Self, DecodeError> {
        let mut read = Self { kind: kind.to_owned(), ..Self::default() };
        match kind {
            FILE => {}
            PASSPHRASE => {
                read.secret =
                    SecretFile::read(&mut section, ["passphrase_path", "passphrase_env", "passphrase_credential"])?;
            }
            PKCS11 => {
                read.module_path = section.text("module_path")?;
                read.token_label = section.text("token_label")?;
                read.key_label = section.text("key_label")?;
                read.secret = SecretFile::read(&mut section, ["pin_path", "pin_env", "pin_credential"])?;
            }
            TRANSIT => {
                read.address = section.text("address")?;
                read.mount_path = section.text("mount_path")?;
                read.key_name = section.text("key_name")?;
                read.namespace = section.text("namespace")?;
                read.ca_cert_path = section.text("ca_cert_path")?;
                read.secret = SecretFile::read(&mut section, ["token_path", "token_env", "token_credential"])?;
            }
            _ => return Ok(read),
        }
        section.finish(format!("cluster seal {kind:?}"), unknown);
        Ok(read)
    }

    pub(super) fn resolve(&self, working_dir: &Path) -> Result<SealSettings, ConfigError> {
        let path = |text: &str| absolute(Path::new(text), working_dir);
        match self.kind.as_str() {
            FILE => Ok(SealSettings::File),
            PASSPHRASE => Ok(SealSettings::Passphrase(self.secret.resolve(SECTION, "passphrase", working_dir)?)),
            PKCS11 => Ok(SealSettings::Pkcs11(Pkcs11Settings {
                module_path: path(required("cluster.seal.module_path", &self.module_path, MODULE)?),
                token_label: required("cluster.seal.token_label", &self.token_label, TOKEN_LABEL)?.to_owned(),
                key_label: required("cluster.seal.key_label", &self.key_label, KEY_LABEL)?.to_owned(),
                pin: self.secret.resolve(SECTION, "pin", working_dir)?,
            })),
            TRANSIT => Ok(SealSettings::Transit(TransitSettings {
                address: self.address()?,
                mount_path: segments("cluster.seal.mount_path", given(&self.mount_path).unwrap_or(TRANSIT), true)?,
                key_name: segments(KEY_NAME, required(KEY_NAME, &self.key_name, TRANSIT_KEY)?, false)?,
                token: self.secret.resolve(SECTION, "token", working_dir)?,
                namespace: given(&self.namespace).map(str::to_owned),
                ca_cert_path: given(&self.ca_cert_path).map(path),
            })),
            other => {
                let near = nearest(other, KINDS).map(|kind| format!("; did you mean {kind:?}?")).unwrap_or_default();
                Err(ConfigError::not_supported(
                    format!("cluster.seal {}", go_quoted(other)),
                    format!("the kinds of seal are {}{near}", KINDS.join(", ")),
                ))
            }
        }
    }

    /// A token and a key travel over it.
    fn address(&self) -> Result<String, ConfigError> {
        let address = required("cluster.seal.address", &self.address, "write https://host:port")?;
        match address.strip_prefix("https://").map(|rest| rest.trim_end_matches('/')) {
            Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@']) => Ok(format!("https://{host}")),
            _ => Err(ConfigError::Unsafe {
                key: "cluster.seal.address",
                value: address.to_owned(),
                safe: "write https://host:port: the key that opens the cluster's keys travels over it".into(),
            }),
        }
    }
}

fn required<'a>(key: &'static str, value: &'a Option<String>, what: &str) -> Result<&'a str, ConfigError> {
    given(value).ok_or_else(|| ConfigError::Unsafe { key, value: String::new(), safe: what.to_owned() })
}

/// They stand in a URL as they are.
fn segments(key: &'static str, text: &str, several: bool) -> Result<String, ConfigError> {
    let trimmed = if several { text.trim_matches('/') } else { text };
    let is_plain = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
    };
    match if several { trimmed.split('/').all(is_plain) } else { is_plain(trimmed) } {
        true => Ok(trimmed.to_owned()),
        false => Err(ConfigError::Unsafe {
            key,
            value: text.to_owned(),
            safe: "use letters, digits, '-', '_' and '.'".into(),
        }),
    }
}

const SECTION: &str = "cluster.seal";
const FILE: &str = "file";
const PASSPHRASE: &str = "passphrase";
const PKCS11: &str = "pkcs11";
const TRANSIT: &str = "transit";
const KINDS: &[&str] = &[FILE, PASSPHRASE, PKCS11, TRANSIT];
const KEY_NAME: &str = "cluster.seal.key_name";
const MODULE: &str = "name the PKCS#11 library of your hardware, for instance /usr/lib/softhsm/libsofthsm2.so";
const TOKEN_LABEL: &str = "name the token that holds the key";
const KEY_LABEL: &str = "name an AES key on the token";
const TRANSIT_KEY: &str = "name a transit key of type aes256-gcm96";
