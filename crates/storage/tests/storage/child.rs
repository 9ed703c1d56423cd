//! Processes that are meant to die: this test binary started again with one scenario in its environment.

use std::collections::HashMap;
use std::env;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use steeple_storage::{FailPoint, FailPoints, LogEntry, Options, SpaceLevel, Storage, StorageError};

use crate::install::snapshot_of;
use crate::snapshot::receive;
use crate::support::{append, apply, entries, entry, open, options, waiter};

const SCENARIO: &str = "STEEPLE_STORAGE_CHILD";
const DIR: &str = "STEEPLE_STORAGE_CHILD_DIR";

/// The command that runs `scenario` on `dir` in a process of its own.
pub fn command(scenario: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["child::scenario", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).env(DIR, dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the child told on lines of the form `> name number`, the last number of each name.
pub fn told(output: &Output) -> HashMap<String, u64> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| line.split_once("> ")?.1.split_once(' '));
    lines.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
}

/// Does nothing unless a test above started this process.
#[test]
fn scenario() {
    let (Ok(scenario), Ok(dir)) = (env::var(SCENARIO), env::var(DIR)) else { return };
    let dir = PathBuf::from(dir);
    match scenario.split(' ').collect::<Vec<_>>()[..] {
        ["die-at", point, occurrence] => die_at(&dir, point, occurrence.parse().unwrap()),
        ["hold"] => hold(&dir),
        ["failing-flush"] => failing_flush(&dir),
        ["open-umask"] => open_without_umask(&dir),
        ["fill-disk"] => fill_disk(&dir),
        _ => panic!("unknown scenario {scenario}"),
    }
}

/// Works until the process dies at the given passing of a fail point, and tells what was acknowledged before.
fn die_at(dir: &Path, point: &str, occurrence: u32) {
    let point = *FailPoint::ALL.iter().find(|known| format!("{known:?}") == point).unwrap();
    let passed = Mutex::new(0);
    let fail_points = FailPoints::new(move |reached| {
        if reached == point {
            let mut passed = passed.lock().unwrap();
            *passed += 1;
            if *passed == occurrence {
                std::process::abort();
            }
        }
        Ok(())
    });
    let storage = Storage::open(dir, Options { fail_points, ..options() }).unwrap();
    for round in 1.. {
        work(&storage, round);
        assert!(round < 1_000, "{point:?} was never reached");
    }
}

/// A line that only the parent of a scenario reads.
fn tell(name: &str, number: u64) {
    if env::var_os(SCENARIO).is_none() {
        return;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {name} {number}").unwrap();
    out.flush().unwrap();
}

/// One round of everything that a replica does to its store.
pub fn work(storage: &Storage, round: u64) {
    let log = storage.log();
    let bounds = log.bounds();
    let next =
        bounds.last.map(|last| last.index).or(bounds.purged.map(|purged| purged.index)).map_or(0, |last| last + 1);
    let new: Vec<LogEntry> = (next..next + 3).map(|index| entry(index, round)).collect();
    tell("writing", next + 2);
    append(storage, new);
    tell("entries", next + 2);
    log.save_vote(round.to_be_bytes().to_vec()).unwrap();
    tell("vote", round);
    log.save_committed((next + 2).to_be_bytes().to_vec()).unwrap();
    apply(storage, next + 2, 5);
    tell("applied", next + 2);
    if round.is_multiple_of(2) {
        tell("snapshot", storage.snapshots().build().unwrap().applied.unwrap());
        log.purge_to(next, next.to_be_bytes().to_vec()).unwrap();
        tell("purged", next);
    }
    if round.is_multiple_of(3) {
        let applied = next + 10;
        let file = receive(storage, &snapshot_of(applied, 4_000)).unwrap();
        storage.snapshots().install(file, applied, &[]).unwrap();
        tell("applied", applied);
        tell("snapshot", applied);
        log.purge_to(applied, applied.to_be_bytes().to_vec()).unwrap();
        tell("purged", applied);
        tell("entries", applied);
    }
}

/// Keeps the directory until the parent closes the pipe.
fn hold(dir: &Path) {
    let _storage = open(dir);
    tell("holding", u64::from(std::process::id()));
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A flush that fails under the default options.
fn failing_flush(dir: &Path) {
    let fail_points = FailPoints::new(|point| match point {
        FailPoint::BeforeFlush => Err(std::io::Error::other("the disk is gone")),
        _ => Ok(()),
    });
    let storage = Storage::open(dir, Options { fail_points, ..Options::default() }).unwrap();
    let (done, answered) = waiter();
    storage.log().append(entries(0..1), done).unwrap();
    let _ = answered.recv();
    tell("survived", 1);
}

/// Everything that a store creates, under a umask that hides nothing.
fn open_without_umask(dir: &Path) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let storage = open(dir);
    work(&storage, 2);
}

/// `dir` is a small file system of this process alone.
fn fill_disk(dir: &Path) {
    let data = dir.join("data");
    // Room for a few MiB of entries beside the ballast.
    let storage = Storage::open(&data, Options { ballast_bytes: 16 << 20, ..options() }).unwrap();
    append(&storage, entries(0..10));
    let acknowledged = Arc::new(Mutex::new(9));
    let failed = (10..100_000).find_map(|index| {
        let (done, answered) = waiter();
        let entry = LogEntry { index, term: 1, bytes: vec![7; 10_000] };
        let result = storage.log().append(vec![entry], done).and_then(|()| answered.recv().unwrap());
        match result {
            Ok(()) => *acknowledged.lock().unwrap() = index,
            Err(error) => return Some(error),
        }
        None
    });
    let Some(StorageError::Failed { cause }) = failed else { panic!("{failed:?}") };
    assert_eq!(*cause, StorageError::DiskFull { dir: data.clone() });
    assert_eq!(storage.space().unwrap().level(), SpaceLevel::Critical);
    drop(storage);
    std::fs::remove_file(data.join("BALLAST")).unwrap();
    let last = open(&data).log().bounds().last.unwrap().index;
    let acknowledged = *acknowledged.lock().unwrap();
    assert!(last >= acknowledged, "entry {acknowledged} was acknowledged, {last} is the last one there");
    tell("kept", acknowledged);
}
