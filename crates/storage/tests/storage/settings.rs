//! The settings that RocksDB says it runs with: it writes them beside its files.

use crate::support::{files_ending, fresh};

#[test]
fn trap_settings_are_in_force() {
    let (dir, _storage) = fresh();
    let listed = std::fs::read_dir(dir.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let file = listed.filter(|path| path.to_string_lossy().contains("OPTIONS-")).max().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let expected = [
        ("wal_recovery_mode", "kTolerateCorruptedTailRecords"),
        ("recycle_log_file_num", "0"),
        ("track_and_verify_wals_in_manifest", "true"),
        ("paranoid_checks", "true"),
        ("manual_wal_flush", "false"),
        ("unordered_write", "false"),
        ("max_total_wal_size", "134217728"),
        ("max_open_files", "-1"),
    ];
    for (name, value) in expected {
        assert!(text.contains(&format!("  {name}={value}\n")), "{name} is not {value}");
    }
    let versions = text.lines().filter_map(|line| line.trim().strip_prefix("format_version="));
    let versions: Vec<u32> = versions.map(|version| version.parse().unwrap()).collect();
    assert_eq!(versions.len(), 6, "one table format per family");
    // The unused default family has RocksDB's default.
    assert!(versions.iter().all(|version| *version >= 6), "{versions:?}");
    assert!(!files_ending(&dir.path().join("db"), ".log").is_empty());
}
