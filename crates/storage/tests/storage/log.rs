//! The log: what may be appended, what is read, what truncating and purging leave, compared with a plain model.

use std::collections::BTreeMap;

use proptest::prelude::*;
use steeple_storage::{ENTRY_BYTES_MAX, LogBounds, LogEntry, LogPosition, Purged, Storage, StorageError};

use crate::support::{append, entries, entry, fresh, indexes, open, raw, waiter};

#[test]
fn an_empty_log() {
    let (_dir, storage) = fresh();
    assert_eq!(storage.log().bounds(), LogBounds::default());
    assert_eq!(storage.log().read(0..10, 1).unwrap(), []);
    assert_eq!((storage.log().vote().unwrap(), storage.log().committed().unwrap()), (None, None));
    storage.log().truncate_from(0).unwrap();
    append(&storage, Vec::new());
}

#[test]
fn a_read_stops_at_the_byte_limit_but_gives_one_entry() {
    let (_dir, storage) = fresh();
    append(&storage, (0..10).map(|index| LogEntry { index, term: 1, bytes: vec![0; 100] }).collect());
    let lengths = [0, 99, 100, 250, 1_000, usize::MAX].map(|max| storage.log().read(2..9, max).unwrap().len());
    assert_eq!(lengths, [1, 1, 1, 2, 7, 7]);
    let (empty, reversed) = (5..5, std::ops::Range { start: 8, end: 2 });
    assert!(storage.log().read(empty, 9).unwrap().is_empty());
    assert!(storage.log().read(reversed, 9).unwrap().is_empty());
}

#[test]
fn an_append_replaces_the_end_that_it_overlaps() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..6));
    append(&storage, vec![entry(3, 2), entry(4, 2)]);
    assert_eq!(storage.log().bounds().last, Some(LogPosition { index: 4, term: 2 }));
    drop(storage);
    let read = open(dir.path()).log().read(0..9, usize::MAX).unwrap();
    assert_eq!(read.iter().map(|entry| entry.term).collect::<Vec<_>>(), [1, 1, 1, 2, 2]);
}

#[test]
fn a_hole_is_never_written() {
    let (_dir, storage) = fresh();
    append(&storage, entries(0..3));
    let (done, answered) = waiter();
    let refused = storage.log().append(entries([4]), done);
    assert_eq!(refused, Err(StorageError::OutOfOrder { expected: 3, found: 4 }));
    assert!(answered.recv().is_err());
    assert_eq!(storage.health(), Ok(()), "a refused append is not a broken disk");
    append(&storage, entries([3]));
}

#[test]
fn an_entry_above_the_limit_is_refused() {
    let (_dir, storage) = fresh();
    let entry = |len| vec![LogEntry { index: 0, term: 1, bytes: vec![0; len] }];
    let refused = storage.log().append(entry(ENTRY_BYTES_MAX + 1), waiter().0);
    assert!(matches!(refused, Err(StorageError::TooLarge { max_bytes: ENTRY_BYTES_MAX, .. })));
    append(&storage, entry(ENTRY_BYTES_MAX));
}

#[test]
fn what_was_purged_cannot_be_truncated_or_written() {
    let (_dir, storage) = fresh();
    append(&storage, entries(0..10));
    storage.log().purge_to(4, b"id".to_vec()).unwrap();
    let refused = StorageError::OutOfOrder { expected: 5, found: 4 };
    assert_eq!(storage.log().truncate_from(4), Err(refused));
    assert!(matches!(storage.log().append(entries([4]), waiter().0), Err(StorageError::OutOfOrder { .. })));
}

#[test]
fn purging_beyond_the_end_moves_the_log_there() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..3));
    storage.log().purge_to(100, b"id".to_vec()).unwrap();
    let purged = Some(Purged { index: 100, id: b"id".to_vec() });
    assert_eq!(storage.log().bounds(), LogBounds { purged, first: None, last: None });
    append(&storage, entries([101]));
    drop(storage);
    assert_eq!(indexes(&open(dir.path())), [101]);
}

#[test]
fn trap_purge_runs_in_large_steps() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..3_000));
    let physical = |dir: &std::path::Path| {
        raw(dir, |db| {
            let log = db.cf_handle("raft_log").unwrap();
            db.iterator_cf(&log, rocksdb::IteratorMode::Start).count()
        })
    };
    storage.log().purge_to(499, vec![1]).unwrap();
    assert_eq!(indexes(&storage)[0], 500);
    drop(storage);
    assert_eq!(physical(dir.path()), 3_000, "hidden, not yet deleted");
    let storage = open(dir.path());
    assert_eq!(indexes(&storage)[0], 500);
    storage.log().purge_to(1_499, vec![2]).unwrap();
    drop(storage);
    assert_eq!(physical(dir.path()), 1_500, "deleted in one range from the last step on");
    let storage = open(dir.path());
    assert_eq!(storage.log().bounds().purged, Some(Purged { index: 1_499, id: vec![2] }));
    // Enough steps for a flush on the way.
    for step in 2..60_u64 {
        append(&storage, entries(step * 1_500..(step + 1) * 1_500));
        storage.log().purge_to(step * 1_500 - 1, vec![3]).unwrap();
    }
    assert_eq!(indexes(&storage).len(), 1_500);
}

/// One call on the log; numbers are taken relative to what the model holds.
#[derive(Clone, Debug)]
enum Call {
    Append { back: u64, count: u64, term: u64 },
    Truncate { back: u64 },
    Purge { ahead: u64 },
    Reopen,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (0..3_u64, 1..30_u64, 1..5_u64).prop_map(|(back, count, term)| Call::Append { back, count, term }),
        2 => (0..20_u64).prop_map(|back| Call::Truncate { back }),
        2 => (0..40_u64).prop_map(|ahead| Call::Purge { ahead }),
        1 => Just(Call::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<u64, LogEntry>,
    purged: Option<u64>,
}

impl Model {
    fn next(&self) -> u64 {
        let last = self.entries.keys().next_back().copied().or(self.purged);
        last.map_or(0, |last| last + 1)
    }

    fn floor(&self) -> u64 {
        self.purged.map_or(0, |purged| purged + 1)
    }

    fn check(&self, storage: &Storage) {
        let bounds = storage.log().bounds();
        assert_eq!(bounds.purged.map(|purged| purged.index), self.purged);
        assert_eq!(bounds.first, self.entries.keys().next().copied());
        assert_eq!(
            bounds.last.map(|last| (last.index, last.term)),
            self.entries.values().next_back().map(|e| (e.index, e.term))
        );
        let read = storage.log().read(0..u64::MAX, usize::MAX).unwrap();
        assert!(read.iter().eq(self.entries.values()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_log_behaves_like_a_map(calls in prop::collection::vec(call(), 1..25)) {
        let (dir, mut storage) = fresh();
        let mut model = Model::default();
        for call in calls {
            match call {
                Call::Append { back, count, term } => {
                    let from = model.next().saturating_sub(back).max(model.floor());
                    let new: Vec<LogEntry> = (from..from + count).map(|index| entry(index, term)).collect();
                    append(&storage, new.clone());
                    model.entries.retain(|index, _| *index < from);
                    model.entries.extend(new.into_iter().map(|entry| (entry.index, entry)));
                }
                Call::Truncate { back } => {
                    let from = model.next().saturating_sub(back).max(model.floor());
                    storage.log().truncate_from(from).unwrap();
                    model.entries.retain(|index, _| *index < from);
                }
                Call::Purge { ahead } => {
                    let to = model.floor() + ahead;
                    storage.log().purge_to(to, vec![7]).unwrap();
                    model.purged = Some(to);
                    model.entries.retain(|index, _| *index > to);
                }
                Call::Reopen => {
                    drop(storage);
                    storage = open(dir.path());
                }
            }
            model.check(&storage);
        }
    }
}
