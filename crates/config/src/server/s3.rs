//! `cluster { backup { s3 { } } }`: a store that speaks S3, and who asks it; `s3://BUCKET/PREFIX`: a place in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use steeple_core::plugin::SecretSource;

use super::secret::SecretFile;
use crate::common::{absolute, given};
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError};

/// What a file says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3File {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub ca_cert_path: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: SecretFile,
}

/// What is `None` comes from the environment, as AWS's own tools read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// `http(s)://host[:port]`, without a slash at the end.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// The bucket in the path, not before the host's name.
    pub path_style: bool,
    /// PEM; `None` trusts the roots of the operating system.
    pub ca_cert_path: Option<PathBuf>,
    pub credentials: Option<S3Credentials>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: SecretSource,
}

/// `s3://BUCKET`, `s3://BUCKET/PREFIX` or one object below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Url {
    pub bucket: String,
    /// Without slashes around it; may be empty.
    pub key: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write s3://BUCKET/PREFIX: a bucket has 3 to 63 of a-z, 0-9, '-' and '.', a prefix letters, digits and any of \
     -_.=@/"
)]
pub struct S3UrlError;

impl Default for S3Settings {
    fn default() -> Self {
        Self { endpoint: None, region: None, path_style: true, ca_cert_path: None, credentials: None }
    }
}

impl S3Url {
    /// Whether `text` means such a place at all, and not a directory.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// One name below this one.
    pub fn join(&self, name: &str) -> Self {
        let key = if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Self { key, ..self.clone() }
    }
}

impl FromStr for S3Url {
    type Err = S3UrlError;

    fn from_str(text: &str) -> Result<Self, S3UrlError> {
        let rest = text.strip_prefix(SCHEME).ok_or(S3UrlError)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let of_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        let of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=@".contains(&byte);
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(of_key);
        let key = key.strip_suffix('/').unwrap_or(key);
        let bucket_is_good = (3..=63).contains(&bucket.len()) && bucket.bytes().all(of_bucket);
        let key_is_good = key.is_empty() || (key.len() <= KEY_BYTES_MAX && key.split('/').all(is_part));
        match bucket_is_good && key_is_good {
            true => Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() }),
            false => Err(S3UrlError),
        }
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

impl S3File {
    pub(super) fn read(mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let keys = ["secret_access_key_path", "secret_access_key_env", "secret_access_key_credential"];
        let read = Self {
            endpoint: section.text("endpoint")?,
            region: section.text("region")?,
            path_style: section.flag("path_style")?,
            ca_cert_path: section.text("ca_cert_path")?,
            access_key_id: section.text("access_key_id")?,
            secret_access_key: SecretFile::read(&mut section, keys)?,
        };
        section.finish("cluster backup s3", unknown);
        Ok(read)
    }

    pub(super) fn resolve(&self, working_dir: &Path) -> Result<S3Settings, ConfigError> {
        let credentials = match given(&self.access_key_id) {
            None if self.secret_access_key == SecretFile::default() => None,
            None => return Err(unsafe_value(ACCESS_KEY_ID, "", "name the id that the secret access key belongs to")),
            Some(id) => Some(S3Credentials {
                access_key_id: id.to_owned(),
                secret_access_key: self.secret_access_key.resolve(SECTION, "secret_access_key", working_dir)?,
            }),
        };
        Ok(S3Settings {
            endpoint: given(&self.endpoint).map(endpoint).transpose()?,
            region: given(&self.region).map(str::to_owned),
            path_style: self.path_style.unwrap_or(true),
            ca_cert_path: given(&self.ca_cert_path).map(|path| absolute(Path::new(path), working_dir)),
            credentials,
        })
    }
}

fn endpoint(text: &str) -> Result<String, ConfigError> {
    let whole = text.trim_end_matches('/');
    match whole.strip_prefix("https://").or_else(|| whole.strip_prefix("http://")) {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@']) => Ok(whole.to_owned()),
        _ => Err(unsafe_value(ENDPOINT, text, "write https://host:port, without the bucket")),
    }
}

fn unsafe_value(key: &'static str, value: &str, safe: &str) -> ConfigError {
    ConfigError::Unsafe { key, value: value.to_owned(), safe: safe.to_owned() }
}

const SCHEME: &str = "s3://";
const SECTION: &str = "cluster.backup.s3";
const ACCESS_KEY_ID: &str = "cluster.backup.s3.access_key_id";
const ENDPOINT: &str = "cluster.backup.s3.endpoint";
/// S3's, less what names of backups have.
const KEY_BYTES_MAX: usize = 900;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_from_directories_and_from_nonsense() {
        let of = |text: &str| text.parse::<S3Url>().map(|url| (url.bucket, url.key));
        let url = |bucket: &str, key: &str| Ok((bucket.to_owned(), key.to_owned()));
        assert_eq!(of("s3://backups"), url("backups", ""));
        assert_eq!(of("s3://backups/"), url("backups", ""));
        assert_eq!(of("s3://my.bucket-1/a/b=c/"), url("my.bucket-1", "a/b=c"));
        for bad in ["s3:/", "s3://", "s3://ab", "s3://Upper", "s3://abc//d", "s3://abc/../d", "s3://abc/d e", "/abc"] {
            assert_eq!(of(bad), Err(S3UrlError), "{bad}");
        }
        let root: S3Url = "s3://abc".parse().unwrap();
        assert_eq!(root.join("n").to_string(), "s3://abc/n");
        assert_eq!(root.join("p").join("n").to_string(), "s3://abc/p/n");
        assert!(S3Url::is_meant("s3://") && !S3Url::is_meant("/s3://"));
    }
}
