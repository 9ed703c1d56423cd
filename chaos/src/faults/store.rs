//! What a defect leaves in the store of a replica, put there while it is stopped.

use std::path::Path;

use anyhow::Context as _;
use steeple_state::Table;
use steeple_storage::{Batch, Options, Storage};

/// A registration entry is gone, and everything else is well-formed.
pub(crate) fn lose_an_entry(data_dir: &Path) -> anyhow::Result<()> {
    let storage = Storage::open(data_dir, Options::default())?;
    let rows = storage.kv();
    let table = Table::Entries.number();
    let lost = rows.scan(table, &[], 1)?.pop().context("there is no entry to lose")?;
    let mut batch = Batch::new();
    batch.delete(table, &lost.key)?;
    Ok(rows.write(batch)?)
}
