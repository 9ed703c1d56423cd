//! CredentialComposer `common_name`: the SPIFFE ID as common name, for databases and proxies that read nothing else.
//!
//! The plugin owns the common name. What was there before, a DNS name or what a caller of MintX509SVID asked for, never
//! shows: whoever maps common names to users relies on each of them.

use std::str::FromStr;

use steeple_core::plugin::{ComposeError, CredentialComposer, SubjectNames, WorkloadX509};

/// `plugin_data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommonName {
    pub source: Source,
    pub too_long: TooLong,
}

/// What becomes the common name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// `spiffe://example.org/ns/default/sa/web`.
    #[default]
    SpiffeId,
    /// `/ns/default/sa/web`: for consumers that trust a single trust domain.
    Path,
}

/// What becomes of a name of more than [`COMMON_NAME_CHARS_MAX`] characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLong {
    /// There is no common name.
    #[default]
    Omit,
    /// It is written all the same: most verifiers do not count.
    Keep,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("unknown source {0:?}: use spiffe_id or path")]
    Source(String),
    #[error("unknown too_long {0:?}: use omit or keep")]
    TooLong(String),
}

impl CredentialComposer for CommonName {
    fn described(&self) -> String {
        let source = match self.source {
            Source::SpiffeId => "spiffe_id",
            Source::Path => "path",
        };
        let too_long = match self.too_long {
            TooLong::Omit => "omit",
            TooLong::Keep => "keep",
        };
        format!("common_name (source {source}, too_long {too_long})")
    }

    fn workload_x509_names(
        &self,
        workload: &WorkloadX509<'_>,
        names: SubjectNames,
    ) -> Result<SubjectNames, ComposeError> {
        let name = match self.source {
            Source::SpiffeId => workload.spiffe_id.as_str(),
            Source::Path => workload.spiffe_id.path(),
        };
        // A SPIFFE ID is ASCII.
        let fits = name.len() <= COMMON_NAME_CHARS_MAX || self.too_long == TooLong::Keep;
        let common_name = if fits { name.to_owned() } else { String::new() };
        Ok(SubjectNames { common_name, ..names })
    }
}

impl FromStr for Source {
    type Err = SettingsError;
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "spiffe_id" => Ok(Self::SpiffeId),
            "path" => Ok(Self::Path),
            _ => Err(SettingsError::Source(text.into())),
        }
    }
}

impl FromStr for TooLong {
    type Err = SettingsError;
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        match text {
            "omit" => Ok(Self::Omit),
            "keep" => Ok(Self::Keep),
            _ => Err(SettingsError::TooLong(text.into())),
        }
    }
}

/// `ub-common-name` of X.520, also in RFC 5280, appendix A.1.
pub const COMMON_NAME_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests;
