//! A machine that loses power: what was not synced is gone.
//!
//! The page cache is taken away from a copy of the store: its WAL is cut to a length that the disk is known to hold.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use steeple_storage::{FailPoint, Inspector, LogEntry, Storage};

use crate::install::state;
use crate::support::{append, apply, copy, entries, entry, fresh, number, open, options_with, waiter, wal_files};

type Lengths = HashMap<PathBuf, u64>;

fn wal_lengths(dir: &Path) -> Lengths {
    let length = |path: &PathBuf| path.metadata().unwrap().len();
    wal_files(dir).into_iter().map(|path| (path.file_name().unwrap().into(), length(&path))).collect()
}

/// A copy whose WAL ends where `lengths` says; a file that it does not know never reached the disk, and neither did the
/// file that says what the last sync reached.
fn cut_to(dir: &Path, lengths: &Lengths) -> tempfile::TempDir {
    let copied = copy(dir);
    std::fs::remove_file(copied.path().join("db/SYNCED")).unwrap();
    for path in wal_files(copied.path()) {
        let length = lengths.get(Path::new(path.file_name().unwrap())).copied().unwrap_or(0);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
    }
    copied
}

/// A store whose flusher can be made to stand before a sync that never happens, while the WAL grows behind it.
struct Stuck {
    /// Dropped first, also when something is found: it lets the flusher end.
    _release: Sender<()>,
    storage: Storage,
    dir: tempfile::TempDir,
    is_stuck: Arc<AtomicBool>,
    on_disk: Arc<Mutex<Lengths>>,
}

impl Stuck {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // What the WAL held when the last completed sync began: at least this much is on the disk.
        let before_sync = Mutex::new(Lengths::new());
        let on_disk = Arc::new(Mutex::new(Lengths::new()));
        let is_stuck = Arc::new(AtomicBool::new(false));
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let (path, known, stuck) = (dir.path().to_path_buf(), Arc::clone(&on_disk), Arc::clone(&is_stuck));
        let probe = move |point| {
            match point {
                FailPoint::BeforeFlush if stuck.load(SeqCst) => {
                    // Ends when the sender is dropped.
                    let _ = released.lock().unwrap().recv();
                }
                FailPoint::BeforeFlush => *before_sync.lock().unwrap() = wal_lengths(&path),
                FailPoint::AfterFlush => *known.lock().unwrap() = before_sync.lock().unwrap().clone(),
                _ => {}
            }
            Ok(())
        };
        let storage = Storage::open(dir.path(), options_with(probe)).unwrap();
        Self { _release: release, storage, dir, is_stuck, on_disk }
    }

    fn stick(&self) {
        self.is_stuck.store(true, SeqCst);
    }

    fn on_disk(&self) -> Lengths {
        self.on_disk.lock().unwrap().clone()
    }
}

#[test]
fn trap_acknowledged_entries_survive_a_power_cut() {
    let stuck = Stuck::open();
    let (storage, dir) = (&stuck.storage, &stuck.dir);
    let work = |round: u64| {
        for index in round * 10..(round + 1) * 10 {
            storage.log().append(entries([index]), waiter().0).unwrap();
            apply(storage, index, 2);
        }
        let (done, answered) = waiter();
        storage.log().save_vote_then(round.to_be_bytes().to_vec(), done).unwrap();
        answered
    };
    (0..50).for_each(|round| work(round).recv().unwrap().unwrap());
    stuck.stick();
    let unanswered: Vec<_> = (50..80).map(work).collect();
    let lengths = stuck.on_disk();
    let lost = cut_to(dir.path(), &lengths);
    let written: u64 = wal_lengths(dir.path()).values().sum();
    assert!(written > lengths.values().sum(), "nothing was lost, nothing is proven");
    assert!(unanswered.iter().all(|answered| answered.try_recv().is_err()));

    let recovered = open(lost.path());
    let last = recovered.log().bounds().last.unwrap().index;
    assert!((499..799).contains(&last), "{last} is the last entry; 499 was acknowledged, 799 was lost");
    assert!(number(&recovered.log().vote().unwrap().unwrap()) >= 49);
    assert!(state(&recovered).0.is_some_and(|applied| applied <= last));
}

#[test]
fn trap_vote_and_identity_are_durable_on_return() {
    let (dir, storage) = fresh();
    storage.log().save_vote(b"vote".to_vec()).unwrap();
    storage.identity().put("node_id", b"7").unwrap();
    let lengths = wal_lengths(dir.path());
    // More than a page that nobody synced.
    for index in 0..100 {
        storage.log().save_committed(vec![index; 100]).unwrap();
    }
    let recovered = cut_to(dir.path(), &lengths);
    let recovered = open(recovered.path());
    assert_eq!(recovered.log().vote().unwrap(), Some(b"vote".to_vec()));
    assert_eq!(recovered.identity().get("node_id").unwrap(), Some(b"7".to_vec()));
    assert_eq!(recovered.log().committed().unwrap(), None);
}

/// Cuts the WAL at many lengths and checks that what is left is always a prefix of what was done, across the log, the
/// vote, the rows and the purge marker.
#[test]
fn trap_one_wal_means_one_order() {
    let (dir, storage) = fresh();
    for round in 1..=60_u64 {
        storage.log().save_vote(round.to_be_bytes().to_vec()).unwrap();
        append(&storage, vec![entry(round, round)]);
        apply(&storage, round, 3);
        if round.is_multiple_of(6) {
            storage.log().purge_to(round - 2, round.to_be_bytes().to_vec()).unwrap();
        }
    }
    let [wal] = &wal_files(dir.path())[..] else { panic!("more than one WAL") };
    let length = wal.metadata().unwrap().len();
    let mut seen = std::collections::BTreeSet::new();
    for cut in (0..=length).step_by(293).chain([length]) {
        let lost = cut_to(dir.path(), &HashMap::from([(wal.file_name().unwrap().into(), cut)]));
        let recovered = open(lost.path());
        let bounds = recovered.log().bounds();
        let purged = bounds.purged.map(|purged| purged.index);
        let last = bounds.last.map(|last| last.index).or(purged);
        let vote = recovered.log().vote().unwrap().map(|vote| number(&vote));
        let (applied, _) = state(&recovered);
        assert!(last <= vote, "entry of term {last:?} without its vote, {vote:?}, at {cut}");
        assert!(applied <= last, "rows of {applied:?} without their entry, {last:?}, at {cut}");
        assert!(purged <= applied, "purged to {purged:?} before the rows, {applied:?}, at {cut}");
        seen.insert(last);
    }
    assert!(seen.len() > 30, "the cuts fell on too few places");
    assert_eq!(seen.last(), Some(&Some(60)));
}

#[test]
fn trap_torn_tail_is_tolerated() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..20));
    drop(storage);
    let [wal] = &wal_files(dir.path())[..] else { panic!("more than one WAL") };
    let length = wal.metadata().unwrap().len();
    for torn in 1..30 {
        let lost = cut_to(dir.path(), &HashMap::from([(wal.file_name().unwrap().into(), length - torn)]));
        let storage = open(lost.path());
        // The twenty entries were one batch: it is there or not.
        assert_eq!(storage.log().bounds().last, None, "{torn} bytes short");
        append(&storage, entries(0..1));
    }
}

/// A disk writes pages in any order: of what was not synced, a later page can be there without an earlier one.
#[test]
fn trap_a_hole_in_what_was_not_synced_ends_the_log() {
    let stuck = Stuck::open();
    let (storage, dir) = (&stuck.storage, &stuck.dir);
    let wide = |index| LogEntry { index, term: 1, bytes: vec![index as u8; 1_000] };
    (0..100).for_each(|index| append(storage, vec![wide(index)]));
    stuck.stick();
    (100..160).for_each(|index| storage.log().append(vec![wide(index)], waiter().0).unwrap());
    let [wal] = &wal_files(dir.path())[..] else { panic!("more than one WAL") };
    let name = wal.file_name().unwrap();
    let whole = std::fs::read(wal).unwrap();
    let durable = stuck.on_disk()[Path::new(name)] as usize;
    // The page that what was synced ends in is there as it was then.
    let pages: Vec<usize> = (durable..whole.len()).step_by(PAGE_BYTES).collect();
    assert!(pages.len() > 10, "nothing was lost, nothing is proven");
    let each_alone = pages.iter().map(|page| vec![*page]);
    let every = |nth: usize| pages.iter().copied().skip(nth % 3).step_by(nth).collect();
    for lost in each_alone.chain((2..9).map(every)).chain([Vec::new()]) {
        let (copied, mut content) = (copy(dir.path()), whole.clone());
        lost.iter().for_each(|page| content[*page..whole.len().min(page + PAGE_BYTES)].fill(0));
        std::fs::write(copied.path().join("db").join(name), content).unwrap();
        drop(Inspector::open(copied.path()).expect("it can be looked at as it is"));
        let recovered = open(copied.path());
        let last = recovered.log().bounds().last.unwrap().index;
        let before = |page: &usize| 99 + 60 * (page - durable) / (whole.len() - durable);
        let expected = lost.first().map_or(159, before) as u64;
        assert!(last.abs_diff(expected) <= 1 && (lost.is_empty() || last < 159), "{last} without {lost:?}");
        assert_eq!(recovered.log().read(0..u64::MAX, usize::MAX).unwrap(), (0..=last).map(wide).collect::<Vec<_>>());
        append(&recovered, vec![wide(last + 1)]);
    }
}

/// What the page cache holds is written by this much.
const PAGE_BYTES: usize = 4_096;
