//! The data directory: one server, our format, nobody else's eyes.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use steeple_storage::{Storage, StorageError};

use crate::child::command;
use crate::support::{fresh, open, options};

fn refusal(dir: &Path) -> StorageError {
    Storage::open(dir, options()).err().unwrap()
}

#[test]
fn trap_two_processes_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command("hold", dir.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("> holding")));
    let refused = refusal(dir.path());
    assert_eq!(refused, StorageError::InUse { dir: dir.path().to_path_buf(), holder: Some(child.id()) });
    let text = refused.to_string();
    assert!(text.contains(&child.id().to_string()) && text.contains("a data directory of its own"), "{text}");
    drop(child.stdin.take());
    lines.for_each(|_| ());
    child.wait().unwrap();
    open(dir.path());
}

#[test]
fn one_process_cannot_open_it_twice_either() {
    let (dir, storage) = fresh();
    let clone = storage.clone();
    drop(storage);
    assert!(matches!(refusal(dir.path()), StorageError::InUse { .. }));
    drop(clone);
    open(dir.path());
}

#[test]
fn a_newer_or_foreign_format_is_refused_by_name() {
    let (dir, storage) = fresh();
    drop(storage);
    let format = dir.path().join("FORMAT");
    std::fs::write(&format, "steeple-store 2\n").unwrap();
    let dir_path = dir.path().to_path_buf();
    assert_eq!(refusal(&dir_path), StorageError::NewerFormat { dir: dir_path.clone(), found: 2, supported: 1 });
    std::fs::write(&format, "something else").unwrap();
    assert!(matches!(refusal(&dir_path), StorageError::ForeignFormat { .. }));
    std::fs::remove_file(&format).unwrap();
    assert!(matches!(refusal(&dir_path), StorageError::ForeignFormat { .. }));
    std::fs::write(&format, "steeple-store 1\n").unwrap();
    open(&dir_path);
}

#[test]
fn a_directory_that_cannot_be_one_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let StorageError::Io { path, .. } = refusal(&file.join("below")) else { panic!() };
    assert!(path.starts_with(&file));
}

#[test]
fn trap_nothing_is_readable_by_others_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let output = command("open-umask", &dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for private in ["", "db", "snapshots"] {
        assert_eq!(mode(&dir.join(private)), 0o700, "{private:?}");
    }
    let ours = [dir.join("FORMAT"), dir.join("LOCK"), dir.join("snapshots/CURRENT")];
    let snapshots = crate::support::files_ending(&dir.join("snapshots"), ".snapshot");
    assert_eq!(snapshots.len(), 1);
    for file in ours.iter().chain(&snapshots) {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    // RocksDB's own files lie behind db/, which an older release or a careless copy may have left open.
    std::fs::set_permissions(dir.join("db"), std::fs::Permissions::from_mode(0o755)).unwrap();
    open(&dir);
    assert_eq!(mode(&dir.join("db")), 0o700);
}
