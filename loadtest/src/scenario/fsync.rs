//! What the disk makes of a flush, in the same minute as the figures that depend on it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use crate::load::{Latency, Quantiles};

/// Appends 4 KiB to `path` and flushes them, many times.
pub(super) fn flush_times(path: &Path) -> anyhow::Result<Quantiles> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
    let mut latency = Latency::new()?;
    for _ in 0..FLUSHES {
        let began = Instant::now();
        file.write_all(&[0x5a; BLOCK_BYTES])?;
        file.sync_data()?;
        latency.record(began.elapsed());
    }
    Ok(latency.quantiles())
}

const FLUSHES: usize = 500;
const BLOCK_BYTES: usize = 4_096;
