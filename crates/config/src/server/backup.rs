//! `cluster { backup { } }`: backups that the leader takes by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cluster::timing;
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSettings {
    /// On every replica that may lead, best of all the same volume on all of them.
    pub dir: PathBuf,
    pub interval: Duration,
    /// The oldest beyond this number are deleted.
    pub keep: usize,
}

impl BackupFile {
    pub(super) fn read(mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self { dir: section.text("dir")?, interval: section.text("interval")?, keep: section.int("keep")? };
        section.finish("cluster backup", unknown);
        Ok(read)
    }

    /// `data_dir` is absolute.
    pub(super) fn resolve(&self, data_dir: &Path, working_dir: &Path) -> Result<BackupSettings, ConfigError> {
        let unsafe_value = |key, value: String, safe: &str| ConfigError::Unsafe { key, value, safe: safe.to_owned() };
        let dir = given(&self.dir).map(|dir| absolute(Path::new(dir), working_dir));
        let dir = dir.ok_or_else(|| unsafe_value("cluster.backup.dir", String::new(), "name a directory"))?;
        if dir.starts_with(data_dir) {
            let shown = dir.display().to_string();
            let safe = "it lies in the data directory, and would be lost with it; use another volume";
            return Err(unsafe_value("cluster.backup.dir", shown, safe));
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
        Ok(BackupSettings { dir, interval, keep })
    }
}

const INTERVAL: Duration = Duration::from_secs(3600);
/// A backup of a large cluster takes seconds.
const INTERVAL_MIN: Duration = Duration::from_secs(60);
const KEEP: i64 = 24;
const KEEP_MAX: usize = 10_000;
