//! Room on the volume: measured before it runs out, and a file to delete when it has.
//!
//! RocksDB answers a full disk by refusing all writes, and this crate by stopping for good. So the level is there to
//! be asked first: at [`SpaceLevel::Low`] an operator wants an alarm, at [`SpaceLevel::Critical`] the server should
//! take nothing but deletions.

use std::fs::File;
use std::path::Path;

use rustix::fs::FallocateFlags;

use crate::{StorageError, durable};

const LOW_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 90;
/// A large volume is not short of room at 90 %: these much are enough for a WAL of the longest kind, a snapshot of a
/// million entries and the compaction of both.
const LOW_BYTES: u64 = 8 << 30;
const CRITICAL_BYTES: u64 = 2 << 30;

const BALLAST_FILE: &str = "BALLAST";

/// The volume of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    /// What this process may still write.
    pub available_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpaceLevel {
    Ample,
    /// Used to 80 % or more, with less than 8 GiB left.
    Low,
    /// Used to 90 % or more, with less than 2 GiB left.
    Critical,
}

impl Space {
    pub(crate) fn of(dir: &Path) -> Result<Self, StorageError> {
        let volume = rustix::fs::statvfs(dir).map_err(|error| StorageError::io("measure", dir, &error.into()))?;
        Ok(Self {
            total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
            available_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }

    pub fn level(&self) -> SpaceLevel {
        let used = u128::from(self.total_bytes.saturating_sub(self.available_bytes)) * 100;
        let filled = |percent: u64| used >= u128::from(self.total_bytes) * u128::from(percent);
        if filled(CRITICAL_PERCENT) && self.available_bytes < CRITICAL_BYTES {
            SpaceLevel::Critical
        } else if filled(LOW_PERCENT) && self.available_bytes < LOW_BYTES {
            SpaceLevel::Low
        } else {
            SpaceLevel::Ample
        }
    }
}

/// Reserves `bytes` in a file of no content, whose deletion lets a server start on a volume that has become full.
/// Reserved only while there is room; a file system that cannot do it has none.
pub(crate) fn reserve_ballast(dir: &Path, bytes: u64) -> Result<(), StorageError> {
    let path = dir.join(BALLAST_FILE);
    let space = Space::of(dir)?;
    let left = Space { available_bytes: space.available_bytes.saturating_sub(bytes), ..space };
    if bytes == 0 || path.exists() || left.level() != SpaceLevel::Ample {
        return Ok(());
    }
    let file: File = durable::create_private_file(&path)?;
    if let Err(error) = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        tracing::debug!(%error, "no ballast on this file system");
        std::fs::remove_file(&path).map_err(|error| StorageError::io("remove", &path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        const GIB: u64 = 1 << 30;
        for (total_gib, available_mib, expected) in [
            (10, 2_100, SpaceLevel::Ample),
            (10, 2_048, SpaceLevel::Low),
            (10, 1_025, SpaceLevel::Low),
            (10, 1_024, SpaceLevel::Critical),
            (1, 100, SpaceLevel::Critical),
            (1, 0, SpaceLevel::Critical),
            // A large volume that is nearly full has room for all that we write.
            (2_000, 100 * 1_024, SpaceLevel::Ample),
            (2_000, 7 * 1_024, SpaceLevel::Low),
        ] {
            let space = Space { total_bytes: total_gib * GIB, available_bytes: available_mib << 20 };
            assert_eq!(space.level(), expected, "{total_gib} GiB, {available_mib} MiB left");
        }
        assert_eq!(Space { total_bytes: u64::MAX, available_bytes: u64::MAX }.level(), SpaceLevel::Ample);
    }
}
