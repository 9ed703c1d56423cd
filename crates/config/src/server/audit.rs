//! `server { audit { } }`: audit records in a file of their own, chained so that no change goes unseen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cluster::timing;
use crate::common::{absolute, given};
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, GoDuration};

/// What a file says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFile {
    pub file: Option<String>,
    pub fail_closed: bool,
    pub max_size_mib: Option<i64>,
    pub keep: Option<i64>,
    pub anchor_interval: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    pub file: PathBuf,
    /// A call that cannot be put on record is refused.
    pub fail_closed: bool,
    /// Bytes after which a new file begins. `None`: somebody else rotates it.
    pub size_max: Option<u64>,
    /// Files before the current one; the oldest beyond this number are deleted.
    pub keep: usize,
    /// After so long at most, the cluster knows the head of the chain.
    pub anchor_interval: Duration,
}

impl AuditFile {
    pub(super) fn read(mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self {
            file: section.text("file")?,
            fail_closed: section.flag("fail_closed")?.unwrap_or_default(),
            max_size_mib: section.int("max_size_mib")?,
            keep: section.int("keep")?,
            anchor_interval: section.text("anchor_interval")?,
        };
        section.finish("audit", unknown);
        Ok(read)
    }

    pub(super) fn resolve(&self, working_dir: &Path) -> Result<AuditSettings, ConfigError> {
        let unsafe_value = |key, value: String, safe: &str| ConfigError::Unsafe { key, value, safe: safe.to_owned() };
        let file = given(&self.file);
        let file = file.ok_or_else(|| unsafe_value("server.audit.file", String::new(), "name the file to write"))?;
        let mib = self.max_size_mib.unwrap_or(SIZE_MIB);
        let size = u64::try_from(mib).ok().filter(|mib| *mib <= SIZE_MIB_MAX);
        let size = size.ok_or_else(|| {
            let safe = "use 1 to 65536, or 0 where something else rotates the file; the default is 64";
            unsafe_value("server.audit.max_size_mib", mib.to_string(), safe)
        })?;
        let keep = self.keep.unwrap_or(KEEP);
        let count = usize::try_from(keep).ok().filter(|count| (1..=KEEP_MAX).contains(count));
        let keep = count
            .ok_or_else(|| unsafe_value("server.audit.keep", keep.to_string(), "use 1 to 10000; the default is 16"))?;
        let anchor_interval = timing("server.audit.anchor_interval", &self.anchor_interval)?.unwrap_or(INTERVAL);
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&anchor_interval) {
            let shown = GoDuration::from(anchor_interval).to_string();
            return Err(unsafe_value("server.audit.anchor_interval", shown, "use 1s to 1h; the default is 1m"));
        }
        Ok(AuditSettings {
            file: absolute(Path::new(file), working_dir),
            fail_closed: self.fail_closed,
            size_max: Some(size << 20).filter(|bytes| *bytes > 0),
            keep,
            anchor_interval,
        })
    }
}

/// Some hundred thousand records.
const SIZE_MIB: i64 = 64;
const SIZE_MIB_MAX: u64 = 1 << 16;
const KEEP: i64 = 16;
const KEEP_MAX: usize = 10_000;
const INTERVAL: Duration = Duration::from_secs(60);
/// Each is an entry in the log.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
