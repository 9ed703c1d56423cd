//! Where a passphrase, a PIN, a token or a key is: three keys of which one is set.

use std::path::Path;

use steeple_core::plugin::SecretSource;

use crate::common::{absolute, given};
use crate::section::Section;
use crate::{ConfigError, DecodeError};

/// What a file says about it. The secret itself is nowhere in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFile {
    pub path: Option<String>,
    pub env: Option<String>,
    pub credential: Option<String>,
}

impl SecretFile {
    pub(super) fn read(section: &mut Section<'_>, keys: [&'static str; 3]) -> Result<Self, DecodeError> {
        let [path, env, credential] = keys;
        Ok(Self { path: section.text(path)?, env: section.text(env)?, credential: section.text(credential)? })
    }

    /// `name` is what the three keys of `section` begin with.
    pub(super) fn resolve(
        &self,
        section: &'static str,
        name: &'static str,
        working_dir: &Path,
    ) -> Result<SecretSource, ConfigError> {
        let credential = given(&self.credential);
        if let Some(credential) = credential.filter(|name| name.contains('/') || name.starts_with('.')) {
            return Err(ConfigError::Unsafe {
                key: section,
                value: credential.to_owned(),
                safe: format!("{name}_credential is a name that systemd passes; for a path use {name}_path"),
            });
        }
        match (given(&self.path), given(&self.env), credential) {
            (Some(path), None, None) => Ok(SecretSource::File(absolute(Path::new(path), working_dir))),
            (None, Some(variable), None) => Ok(SecretSource::Environment(variable.to_owned())),
            (None, None, Some(credential)) => Ok(SecretSource::Credential(credential.to_owned())),
            _ => Err(ConfigError::Unsafe {
                key: section,
                value: name.to_owned(),
                safe: format!("set one of {name}_path, {name}_env and {name}_credential"),
            }),
        }
    }
}
