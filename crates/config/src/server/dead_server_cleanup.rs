//! `cluster { dead_server_cleanup { } }`: members that do not come back are taken off the list. Off without the block.

use std::time::Duration;

use super::cluster::timing;
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, GoDuration};

/// What a file says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadServerCleanupFile {
    pub after: Option<String>,
    pub min_quorum: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadServerCleanup {
    /// Silent for so long.
    pub after: Duration,
    /// Voters that are left at least.
    pub min_quorum: usize,
}

impl DeadServerCleanupFile {
    pub(super) fn read(mut section: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self { after: section.text("after")?, min_quorum: section.int("min_quorum")? };
        section.finish("cluster dead_server_cleanup", unknown);
        Ok(read)
    }

    /// The floor has no default: whoever lets servers be removed says how far that may go.
    pub(super) fn resolve(&self) -> Result<DeadServerCleanup, ConfigError> {
        let key = "cluster.dead_server_cleanup.after";
        let after = timing(key, &self.after)?.unwrap_or(AFTER);
        if after < AFTER_MIN {
            let value = GoDuration::from(after).to_string();
            return Err(ConfigError::Unsafe { key, value, safe: "use 1m or more; the default is 24h".into() });
        }
        let written = self.min_quorum;
        let min_quorum = written.and_then(|count| usize::try_from(count).ok()).filter(|count| *count >= MIN_QUORUM);
        let min_quorum = min_quorum.ok_or_else(|| ConfigError::Unsafe {
            key: "cluster.dead_server_cleanup.min_quorum",
            value: written.map(|count| count.to_string()).unwrap_or_default(),
            safe: "say how many voters must be left, 3 or more".into(),
        })?;
        Ok(DeadServerCleanup { after, min_quorum })
    }
}

const AFTER: Duration = Duration::from_secs(24 * 3600);
/// Below, a restart would be enough.
const AFTER_MIN: Duration = Duration::from_secs(60);
/// Fewer voters survive no failure.
const MIN_QUORUM: usize = 3;
