//! `cluster { backup { } }`: backups that the leader takes by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cluster::timing;
use super::s3::{S3File, S3Settings, S3Url, S3UrlError};
use crate::common::{absolute, given};
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, GoDuration};

/// What a file says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupFile {
    pub dir: Option<String>,
    pub interval: Option<String>,
    pub keep: Option<i64>,
    pub s3: Option<S3File>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    pub place: BackupPlace,
    /// How buckets are reached.
    pub s3: S3Settings,
    pub interval: Duration,
    /// The oldest beyond this number are deleted.
    pub keep: usize,
}

/// Where backups lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupPlace {
    /// On every replica that may lead, best of all the same volume on all of them.
    Directory(PathBuf),
    Bucket(S3Url),
}

impl BackupPlace {
    /// A directory as it is written, or `s3://BUCKET/PREFIX`.
    pub fn read(text: &str) -> Result<Self, S3UrlError> {
        match S3Url::is_meant(text) {
            true => text.parse().map(Self::Bucket),
            false => Ok(Self::Directory(PathBuf::from(text))),
        }
    }
}

impl std::fmt::Display for BackupPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(dir) => write!(f, "{}", dir.display()),
            Self::Bucket(url) => write!(f, "{url}"),
        }
    }
}

impl BackupFile {
    pub(super) fn read(mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self {
            dir: section.text("dir")?,
            interval: section.text("interval")?,
            keep: section.int("keep")?,
            s3: section.section("s3")?.map(|s3| S3File::read(s3, unknown)).transpose()?,
        };
        section.finish("cluster backup", unknown);
        Ok(read)
    }

    /// `data_dir` is absolute.
    pub(super) fn resolve(&self, data_dir: &Path, working_dir: &Path) -> Result<BackupSettings, ConfigError> {
        let unsafe_value = |key, value: String, safe: &str| ConfigError::Unsafe { key, value, safe: safe.to_owned() };
        let dir = given(&self.dir);
        let dir = dir.ok_or_else(|| unsafe_value(DIR, String::new(), "name a directory, or s3://BUCKET/PREFIX"))?;
        let place = BackupPlace::read(dir).map_err(|error| unsafe_value(DIR, dir.to_owned(), &error.to_string()))?;
        let place = match place {
            BackupPlace::Directory(dir) => BackupPlace::Directory(absolute(&dir, working_dir)),
            bucket => bucket,
        };
        if let BackupPlace::Directory(dir) = &place
            && dir.starts_with(data_dir)
        {
            let shown = dir.display().to_string();
            let safe = "it lies in the data directory, and would be lost with it; use another volume";
            return Err(unsafe_value(DIR, shown, safe));
        }
        let interval = timing("cluster.backup.interval", &self.interval)?.unwrap_or(INTERVAL);
        if interval < INTERVAL_MIN {
            let shown = GoDuration::from(interval).to_string();
            return Err(unsafe_value("cluster.backup.interval", shown, "use 1m or more; the default is 1h"));
        }
        let keep = self.keep.unwrap_or(KEEP);
        let count = usize::try_from(keep).ok().filter(|count| (1..=KEEP_MAX).contains(count));
        let keep = count.ok_or_else(|| {
            unsafe_value("cluster.backup.keep", keep.to_string(), "use 1 to 10000; the default is 24")
        })?;
        let s3 = self.s3.as_ref().map(|s3| s3.resolve(working_dir)).transpose()?.unwrap_or_default();
        Ok(BackupSettings { place, s3, interval, keep })
    }
}

const DIR: &str = "cluster.backup.dir";
const INTERVAL: Duration = Duration::from_secs(3600);
/// A backup of a large cluster takes seconds.
const INTERVAL_MIN: Duration = Duration::from_secs(60);
const KEEP: i64 = 24;
const KEEP_MAX: usize = 10_000;
