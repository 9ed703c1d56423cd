//! A directory for one test or one run.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// Set to keep the directories, to look at logs and databases afterwards.
const KEEP: &str = "STEEPLE_KEEP";

/// Removed with the value, unless `STEEPLE_KEEP` is set. Its path is short: the name of a Unix socket may have 107
/// bytes.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub fn new() -> anyhow::Result<Self> {
        let mut dir = tempfile::Builder::new()
            .prefix("steeple-")
            .rand_bytes(6)
            .tempdir_in("/tmp")
            .context("cannot make a directory in /tmp")?;
        if std::env::var_os(KEEP).is_some() {
            dir.disable_cleanup(true);
            eprintln!("keeping {}", dir.path().display());
        }
        Ok(Self { dir })
    }

    /// Removes it now and says if that fails.
    pub fn remove(self) -> anyhow::Result<()> {
        if std::env::var_os(KEEP).is_some() {
            return Ok(());
        }
        let path = self.dir.path().to_owned();
        self.dir.close().with_context(|| format!("cannot remove {}", path.display()))
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }
}
