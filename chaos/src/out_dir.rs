//! Where a run leaves its files.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// `given`, or the folder `name` beside the folder of this program. It is made if it is missing.
pub(crate) fn out_dir(given: Option<PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
    let dir = match given {
        Some(dir) => dir,
        None => {
            let program = std::env::current_exe().context("cannot tell where this program is")?;
            program.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join(name)
        }
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}
