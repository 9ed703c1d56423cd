//! A file system that is small enough to be filled.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::apart;

const FILLER: &str = "filler";
/// What one write of the filler takes.
const BLOCK_BYTES: usize = 64 * 1024;

/// A tmpfs. The mount namespace that it needs takes it along.
#[derive(Debug)]
pub(crate) struct Volume {
    dir: PathBuf,
}

impl Volume {
    /// Whether this process may have one.
    pub(crate) fn is_possible() -> bool {
        apart::has_mounts()
    }

    /// Mounts it at `dir`, which is made.
    pub(crate) fn mount(dir: &Path, bytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let options = format!("size={bytes},mode=0700");
        let words = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(OsStr::new);
        let output = Command::new("mount").args(words).arg(dir).output().context("cannot run mount")?;
        ensure!(output.status.success(), "mount: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { dir: dir.to_owned() })
    }

    /// Writes until `percent` of it is used; 100 leaves nothing.
    pub(crate) fn fill(&self, percent: u64) -> anyhow::Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.dir.join(FILLER))?;
        while self.used_percent()? < percent {
            match filler.write(&[0; BLOCK_BYTES]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("filling the volume"),
            }
        }
        Ok(())
    }

    pub(crate) fn empty(&self) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(FILLER))
    }

    fn used_percent(&self) -> anyhow::Result<u64> {
        let volume = rustix::fs::statvfs(&self.dir)?;
        Ok(volume.f_blocks.saturating_sub(volume.f_bavail) * 100 / volume.f_blocks.max(1))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // A process that still writes there keeps it; the namespace's end takes it then.
        let _ = Command::new("umount").arg("--lazy").arg(&self.dir).output();
    }
}
