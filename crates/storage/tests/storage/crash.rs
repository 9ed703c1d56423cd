//! A process that dies at each instant of the write path, and what must be there afterwards.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use steeple_storage::FailPoint;

use crate::child::{command, told, work};
use crate::install::state;
use crate::support::{number, open};

const SIGABRT: i32 = 6;

/// Everything that was told as done is there, and nothing that is there contradicts itself.
fn check(dir: &Path, told: &std::collections::HashMap<String, u64>, context: &str) {
    let storage = open(dir);
    let done = |name: &str| told.get(name).copied();
    let bounds = storage.log().bounds();
    let purged = bounds.purged.as_ref().map(|purged| purged.index);
    assert!(
        bounds.last.map(|last| last.index).max(purged) >= done("entries"),
        "{context}: an acknowledged entry is lost"
    );
    assert!(purged >= done("purged"), "{context}: the purge marker went back");
    if let Some(purged) = &bounds.purged {
        assert_eq!(number(&purged.id), purged.index, "{context}");
        assert!(bounds.first.is_none_or(|first| first == purged.index + 1), "{context}: a gap behind the purge marker");
    }
    for entry in storage.log().read(0..u64::MAX, usize::MAX).unwrap() {
        assert_eq!(entry.bytes, format!("entry {}", entry.index).into_bytes(), "{context}");
    }
    assert!(storage.log().vote().unwrap().map(|vote| number(&vote)) >= done("vote"), "{context}: the vote went back");
    let (applied, _) = state(&storage);
    assert!(applied >= done("applied"), "{context}: the rows went back");
    assert!(applied >= purged, "{context}: entries were purged that the rows do not hold");
    let snapshot = storage.snapshots().current().and_then(|info| info.applied);
    assert!(snapshot >= done("snapshot"), "{context}: the snapshot went back");
    let round = storage.log().vote().unwrap().map_or(1, |vote| number(&vote));
    (round + 1..round + 4).for_each(|round| work(&storage, round));
}

#[test]
fn a_process_that_dies_at_any_point_keeps_what_it_acknowledged() {
    for point in FailPoint::ALL {
        for occurrence in [1, 3] {
            let dir = tempfile::tempdir().unwrap();
            let output = command(&format!("die-at {point:?} {occurrence}"), dir.path()).output().unwrap();
            let context = format!("{point:?} {occurrence}");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(SIGABRT), "{context}: {errors}");
            check(dir.path(), &told(&output), &context);
        }
    }
}

#[test]
fn trap_killed_process_loses_nothing_written() {
    let last_after = |point: &str| {
        let dir = tempfile::tempdir().unwrap();
        let output = command(&format!("die-at {point} 2"), dir.path()).output().unwrap();
        let told = told(&output);
        assert!(told["writing"] > told["entries"], "died while an append was not acknowledged");
        (open(dir.path()).log().bounds().last.unwrap().index, told)
    };
    let (last, told) = last_after("AfterWalWrite");
    assert_eq!(last, told["writing"], "in the WAL, so the kernel has it");
    let (last, told) = last_after("BeforeWalWrite");
    assert_eq!(last, told["entries"]);
}

#[test]
fn trap_purge_marker_precedes_delete() {
    let dir = tempfile::tempdir().unwrap();
    let output = command("die-at AfterPurgeMarker 1", dir.path()).output().unwrap();
    let told = told(&output);
    assert!(!told.contains_key("purged"));
    let bounds = open(dir.path()).log().bounds();
    let purged = bounds.purged.unwrap().index;
    assert_eq!((bounds.first, bounds.last.unwrap().index), (Some(purged + 1), told["entries"]));
}

#[test]
fn trap_snapshot_pointer_names_the_old_file_until_the_new_one_is_durable() {
    for (point, new_is_current) in [("BeforeSnapshotPointer", false), ("AfterSnapshotPointer", true)] {
        let dir = tempfile::tempdir().unwrap();
        let output = command(&format!("die-at {point} 2"), dir.path()).output().unwrap();
        let told = told(&output);
        let current = open(dir.path()).snapshots().current().unwrap().applied.unwrap();
        assert_eq!(current > told["snapshot"], new_is_current, "{point}");
    }
}

#[test]
fn trap_install_crash_leaves_old_or_new() {
    for (point, new) in [("DuringInstall", false), ("BeforeInstallFlip", false), ("AfterInstallFlip", true)] {
        let dir = tempfile::tempdir().unwrap();
        let output = command(&format!("die-at {point} 1"), dir.path()).output().unwrap();
        let told = told(&output);
        let storage = open(dir.path());
        let expected = if new { (Some(told["applied"] + 8), 4_000) } else { (Some(told["applied"]), 5) };
        assert_eq!(state(&storage), expected, "{point}");
        // The file was made current first, so that Raft can install it again.
        let current = storage.snapshots().open_current().unwrap().unwrap();
        let applied = current.info().applied.unwrap();
        storage.snapshots().install(current, applied, &[]).unwrap();
        assert_eq!(state(&storage), (Some(told["applied"] + 8), 4_000), "{point}");
    }
}

#[test]
fn trap_failed_flush_aborts_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let output = command("failing-flush", dir.path()).output().unwrap();
    assert_eq!(output.status.signal(), Some(SIGABRT));
    assert!(told(&output).is_empty(), "nothing runs after a failed flush");
}

#[test]
fn trap_disk_full_is_final_and_loses_nothing() {
    let mount = tempfile::tempdir().unwrap();
    let child = command("fill-disk", mount.path());
    // A file system of 24 MiB in a mount namespace of its own; it ends with the process.
    let script = r#"mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@""#;
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(mount.path());
    unshare.arg(child.get_program()).args(child.get_args());
    unshare.envs(child.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let probe = std::process::Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: user and mount namespaces are not available here");
        return;
    }
    let output = unshare.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told(&output)["kept"] >= 9);
}
