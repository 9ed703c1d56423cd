//! One flusher: readable early, durable before acknowledged, in order, and final when it fails.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use steeple_storage::{FLUSH_QUEUE_MAX, FailPoint, Options, Storage, StorageError};

use crate::support::{append, entries, fresh, indexes, open, options_with, waiter};

#[test]
fn trap_entries_are_readable_before_they_are_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (release, released) = sync_channel::<()>(0);
    let released = Mutex::new(released);
    let storage = Storage::open(
        dir.path(),
        options_with(move |point| {
            if point == FailPoint::BeforeFlush {
                // Ends when the sender is dropped, too.
                let _ = released.lock().unwrap().recv();
            }
            Ok(())
        }),
    )
    .unwrap();
    let (done, answered) = waiter();
    storage.log().append(entries(0..3), done).unwrap();
    assert_eq!(indexes(&storage), [0, 1, 2]);
    assert!(answered.try_recv().is_err(), "acknowledged before the flush");
    release.send(()).unwrap();
    assert_eq!(answered.recv().unwrap(), Ok(()));
    drop(release);
}

#[test]
fn trap_callbacks_come_from_one_thread_in_order() {
    let (_dir, storage) = fresh();
    let (told, heard) = channel();
    for index in 0..500 {
        let told = told.clone();
        let done = Box::new(move |result: Result<(), StorageError>| {
            told.send((index, thread::current().id(), result)).unwrap();
        });
        if index % 7 == 3 {
            storage.log().save_vote_then(vec![1], done).unwrap();
        } else {
            let next = storage.log().bounds().last.map_or(0, |last| last.index + 1);
            storage.log().append(entries([next]), done).unwrap();
        }
    }
    drop(told);
    let heard: Vec<_> = heard.iter().collect();
    assert!(heard.iter().map(|(index, ..)| *index).eq(0..500));
    assert!(heard.iter().all(|(_, thread, result)| *thread == heard[0].1 && result.is_ok()));
}

#[test]
fn trap_an_acknowledgement_is_a_sync() {
    let (_dir, storage) = fresh();
    let before = storage.stats();
    for index in 0..10 {
        append(&storage, entries([index]));
        storage.log().save_vote(vec![1]).unwrap();
        storage.identity().put("node_id", b"1").unwrap();
    }
    let after = storage.stats();
    assert_eq!(after.wal_syncs - before.wal_syncs, 30, "RocksDB counts the syncs that it made");
    assert_eq!((after.flushes - before.flushes, after.background_errors), (30, 0));
}

#[test]
fn a_meter_keeps_no_store_open() {
    let (dir, storage) = fresh();
    let meter = storage.meter();
    append(&storage, entries([0]));
    assert_eq!(meter.stats().map(|stats| stats.entries_appended), Some(1));
    assert!(meter.space().is_some_and(|space| space.total_bytes > 0));
    drop(storage);
    assert!(meter.stats().is_none() && meter.space().is_none());
    open(dir.path());
}

#[test]
fn appends_share_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let (arrived, arrival) = channel();
    let (release, released) = channel::<()>();
    let (arrived, released) = (Mutex::new(arrived), Mutex::new(released));
    let storage = Storage::open(
        dir.path(),
        options_with(move |point| {
            if point == FailPoint::BeforeFlush {
                arrived.lock().unwrap().send(()).unwrap_or(());
                let _ = released.lock().unwrap().recv();
            }
            Ok(())
        }),
    )
    .unwrap();
    let mut waiters = Vec::new();
    for index in 0..100 {
        let (done, answered) = waiter();
        storage.log().append(entries([index]), done).unwrap();
        waiters.push(answered);
        if index == 0 {
            arrival.recv().unwrap();
        }
    }
    assert_eq!(storage.stats().flush_queue_len, 99);
    drop(release);
    waiters.into_iter().for_each(|answered| answered.recv().unwrap().unwrap());
    let stats = storage.stats();
    assert_eq!((stats.flushes, stats.entries_appended, stats.flush_queue_len), (2, 100, 0));
    assert_eq!(stats.flush_buckets.iter().sum::<u64>(), 2);
}

#[test]
fn a_full_queue_blocks_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let storage = Storage::open(
        dir.path(),
        options_with(move |point| {
            if point == FailPoint::BeforeFlush {
                let _ = released.lock().unwrap().recv();
            }
            Ok(())
        }),
    )
    .unwrap();
    // One more than the queue and the flusher's own hands hold.
    let total = 2 * FLUSH_QUEUE_MAX + 2;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (storage, acknowledged) = (storage.clone(), Arc::clone(&acknowledged));
        thread::spawn(move || {
            for index in 0..total as u64 {
                let acknowledged = Arc::clone(&acknowledged);
                let done = Box::new(move |result: Result<(), StorageError>| {
                    result.unwrap();
                    acknowledged.fetch_add(1, SeqCst);
                });
                storage.log().append(entries([index]), done).unwrap();
            }
        })
    };
    while storage.stats().flush_queue_len < FLUSH_QUEUE_MAX as u64 {
        thread::yield_now();
    }
    assert!(!writer.is_finished());
    assert_eq!(acknowledged.load(SeqCst), 0);
    drop(release);
    writer.join().unwrap();
    drop(storage);
    assert_eq!(acknowledged.load(SeqCst), total);
}

#[test]
fn trap_failed_flush_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let fatal = Arc::new(Mutex::new(Vec::new()));
    let (probe, hook) = (Arc::clone(&broken), Arc::clone(&fatal));
    let options = Options {
        on_fatal: Arc::new(move |error| hook.lock().unwrap().push(error.clone())),
        ..options_with(move |point| {
            // Broken once: a retry would succeed, and must not be made.
            if point == FailPoint::BeforeFlush && probe.swap(false, SeqCst) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            Ok(())
        })
    };
    let storage = Storage::open(dir.path(), options).unwrap();
    append(&storage, entries(0..2));
    broken.store(true, SeqCst);
    let (done, answered) = waiter();
    storage.log().append(entries([2]), done).unwrap();
    let failed = answered.recv().unwrap().unwrap_err();
    let StorageError::Failed { cause } = &failed else { panic!("{failed}") };
    assert_eq!(**cause, StorageError::DiskFull { dir: dir.path().to_path_buf() });

    let (done, answered) = waiter();
    assert_eq!(storage.log().append(entries([3]), done), Err(failed.clone()));
    assert!(answered.recv().is_err(), "a refused append was acknowledged");
    assert_eq!(storage.log().save_vote(vec![1]), Err(failed.clone()));
    assert_eq!(storage.log().save_committed(vec![1]), Err(failed.clone()));
    assert_eq!(storage.identity().put("name", b"value"), Err(failed.clone()));
    assert_eq!(storage.kv().write(steeple_storage::Batch::new()), Err(failed.clone()));
    assert_eq!(storage.snapshots().build().unwrap_err(), failed);
    assert_eq!(storage.health(), Err(failed));
    assert_eq!(fatal.lock().unwrap().len(), 1, "the hook is called once");

    drop(storage);
    assert_eq!(indexes(&open(dir.path()))[..2], [0, 1], "what was acknowledged is there after a restart");
}

#[test]
fn trap_every_waiter_of_a_failed_flush_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    let storage = Storage::open(
        dir.path(),
        options_with(move |point| match point {
            FailPoint::BeforeFlush => {
                let _ = released.lock().unwrap().recv();
                Err(io::Error::other("the disk is gone"))
            }
            _ => Ok(()),
        }),
    )
    .unwrap();
    let waiters: Vec<_> = (0..20)
        .map(|index| {
            let (done, answered) = waiter();
            storage.log().append(entries([index]), done).unwrap();
            answered
        })
        .collect();
    drop(release);
    for answered in waiters {
        assert!(matches!(answered.recv().unwrap(), Err(StorageError::Failed { .. })));
    }
}

#[test]
fn trap_save_committed_costs_no_flush() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..1));
    let before = storage.stats().flushes;
    for index in 0..100_u64 {
        storage.log().save_committed(index.to_be_bytes().to_vec()).unwrap();
    }
    assert_eq!(storage.stats().flushes, before);
    drop(storage);
    assert_eq!(open(dir.path()).log().committed().unwrap(), Some(99_u64.to_be_bytes().to_vec()));
}

#[test]
fn dropping_the_store_serves_who_waits() {
    let (dir, storage) = fresh();
    let (done, answered) = waiter();
    storage.log().append(entries(0..10), done).unwrap();
    drop(storage);
    assert_eq!(answered.try_recv().unwrap(), Ok(()));
    assert_eq!(indexes(&open(dir.path())).len(), 10);
}

#[test]
fn a_callback_may_own_the_last_handle() {
    let (_dir, storage) = fresh();
    let (told, heard) = channel();
    let log = storage.log();
    let owned = storage.clone();
    let done = Box::new(move |result: Result<(), StorageError>| {
        told.send(result).unwrap();
        drop(owned);
    });
    log.append(entries(0..1), done).unwrap();
    drop((log, storage));
    assert_eq!(heard.recv().unwrap(), Ok(()));
}
