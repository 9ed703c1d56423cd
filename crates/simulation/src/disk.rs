//! A disk under a real store: syncs take simulated time, and a power cut takes what was not synced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_storage::{FailPoint, FailPoints, FlushByHand, Options};
use steeple_testkit::Dice;
use tokio::sync::Notify;
use tokio::time::sleep;

pub struct Disk {
    dir: PathBuf,
    hand: FlushByHand,
    wanted: Arc<Notify>,
    held: Arc<Mutex<Held>>,
    failed: Arc<Mutex<Option<String>>>,
}

/// Lengths of the files of the write-ahead log.
type Lengths = BTreeMap<OsString, u64>;

#[derive(Debug, Default)]
struct Held {
    /// When the sync began that is under way.
    begun: Lengths,
    /// What the last sync that ended made durable.
    durable: Lengths,
}

impl Disk {
    pub fn new(dir: PathBuf) -> Self {
        let wanted = Arc::new(Notify::new());
        let told = Arc::clone(&wanted);
        let hand = FlushByHand::new(move || told.notify_one());
        Self { dir, hand, wanted, held: Arc::default(), failed: Arc::default() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// For a store in [`Self::dir`].
    pub fn options(&self) -> Options {
        let (dir, held) = (self.dir.clone(), Arc::clone(&self.held));
        let probe = move |point| {
            match point {
                FailPoint::BeforeFlush => held.lock().begun = lengths(&dir),
                FailPoint::AfterFlush => {
                    let mut held = held.lock();
                    held.durable = std::mem::take(&mut held.begun);
                }
                _ => {}
            }
            Ok(())
        };
        let failed = Arc::clone(&self.failed);
        Options {
            on_fatal: Arc::new(move |error| *failed.lock() = Some(error.to_string())),
            ballast_bytes: 0,
            fail_points: FailPoints::new(probe),
            flush_by_hand: Some(self.hand.clone()),
        }
    }

    /// Syncs what is written, each time after up to `slowest`. For ever.
    pub async fn sync(&self, mut dice: Dice, slowest: Duration) {
        loop {
            self.wanted.notified().await;
            sleep(slowest.mul_f64(dice.fraction())).await;
            self.hand.flush();
        }
    }

    /// The power goes. Of what was not synced either a beginning is left, which may end in the middle of a record, or
    /// pages that the disk wrote in an order of its own, with zeros where the others belong. The store must be closed.
    /// Returns how many bytes were lost.
    pub fn lose(&self, dice: &mut Dice) -> anyhow::Result<u64> {
        let mut held = self.held.lock();
        let is_in_order = dice.below(2) == 0;
        let (mut lost, mut is_cut) = (0, false);
        for (name, length) in lengths(&self.dir) {
            let durable = held.durable.get(&name).copied().unwrap_or(0).min(length);
            // In order, nothing of a later file reached the disk where some of an earlier one did not.
            let kept = if is_in_order && is_cut { durable } else { durable + dice.below(length - durable + 1) };
            is_cut |= kept < length;
            lost += length - kept;
            let file = OpenOptions::new().write(true).open(wal(&self.dir).join(&name))?;
            file.set_len(kept)?;
            if !is_in_order {
                lost += lose_pages(&file, durable..kept, dice)?;
            }
            held.durable.insert(name, kept);
        }
        Ok(lost)
    }

    /// A new disk in the place of this one.
    pub fn replace(&self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.dir)?;
        *self.held.lock() = Held::default();
        Ok(())
    }

    /// Why the store refuses everything, if it does.
    pub fn failure(&self) -> Option<String> {
        self.failed.lock().clone()
    }
}

/// Some of the pages of `written` never reached the disk. Returns how many bytes that is.
fn lose_pages(file: &File, written: Range<u64>, dice: &mut Dice) -> anyhow::Result<u64> {
    let page = [SECTOR_BYTES, PAGE_BYTES][usize::from(dice.below(2) == 0)];
    let (mut lost, mut at) = (0, written.start);
    while at < written.end {
        let end = (at / page + 1).saturating_mul(page).min(written.end);
        if dice.below(2) == 0 {
            file.write_all_at(&vec![0; usize::try_from(end - at)?], at)?;
            lost += end - at;
        }
        at = end;
    }
    Ok(lost)
}

/// What a disk writes whole or not at all, and what the page cache hands it at a time.
const SECTOR_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4_096;

fn wal(dir: &Path) -> PathBuf {
    dir.join("db")
}

/// In the order in which they were begun. A directory that is not there yet has none.
fn lengths(dir: &Path) -> Lengths {
    let Ok(listed) = std::fs::read_dir(wal(dir)) else { return Lengths::new() };
    let logs = listed.flatten().filter(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "log"));
    logs.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len()))).collect()
}
