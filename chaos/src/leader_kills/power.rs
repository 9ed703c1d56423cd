//! What is left of a replica's log when the power goes.
//!
//! The kernel keeps what a killed process wrote, so a power cut needs more than SIGKILL: a small library in front of
//! libc notes how much of each file was synced, and the rest is cut off before the replica starts again. Only RocksDB's
//! WAL is cut; its other files are synced before the manifest names them.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Lengths that were synced, by inode.
pub(super) struct SyncLog {
    library: PathBuf,
    dir: PathBuf,
    late: bool,
}

impl SyncLog {
    /// Compiles the library into `dir`. With `late` every promise comes one sync too late.
    pub(super) fn new(dir: &Path, late: bool) -> anyhow::Result<Self> {
        let (source, library, synced) = (dir.join("synced.c"), dir.join("libsynced.so"), dir.join("synced"));
        std::fs::write(&source, SOURCE)?;
        std::fs::create_dir(&synced)?;
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(&compiler);
        command.args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"]).arg(&library).arg(&source);
        let output = command.args(["-ldl", "-pthread"]).output().with_context(|| {
            format!(
                "cannot run {}: install a C compiler, or leave the power on with --power-cuts 0",
                compiler.display()
            )
        })?;
        ensure!(output.status.success(), "synced.c: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { library, dir: synced, late })
    }

    /// The environment of a server whose syncs are noted.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut env =
            vec![("LD_PRELOAD".to_owned(), text(&self.library)), ("STEEPLE_SYNCED_DIR".to_owned(), text(&self.dir))];
        if self.late {
            env.push(("STEEPLE_SYNCED_LATE".to_owned(), "1".to_owned()));
        }
        env
    }

    /// From now on each sync takes long enough for a cut to fall into it.
    pub(super) fn slow_down(&self) -> io::Result<()> {
        std::fs::write(self.dir.join("slow"), "")
    }

    /// Cuts every WAL file below `data_dir` to what was synced of it; returns how much that took.
    pub(super) fn drop_unsynced(&self, data_dir: &Path) -> anyhow::Result<u64> {
        let mut dropped = 0;
        for path in wal_files(data_dir).with_context(|| format!("cannot read {}", data_dir.display()))? {
            let file = OpenOptions::new().write(true).open(&path)?;
            let metadata = file.metadata()?;
            let synced = self.synced_length(metadata.ino())?;
            if metadata.len() > synced {
                file.set_len(synced)?;
                dropped += metadata.len() - synced;
            }
        }
        Ok(dropped)
    }

    /// 0 for a file that was never synced.
    fn synced_length(&self, inode: u64) -> anyhow::Result<u64> {
        match std::fs::read(self.dir.join(inode.to_string())) {
            Ok(bytes) => Ok(bytes.try_into().map_or(0, u64::from_ne_bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

fn wal_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            found.extend(wal_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    Ok(found)
}

const SOURCE: &str = include_str!("synced.c");

#[cfg(test)]
mod tests {
    use super::*;

    /// Syncs three bytes, and writes two more.
    const WRITER: &str = r#"
        #include <fcntl.h>
        #include <unistd.h>
        int main(void) {
            int fd = open("1.log", O_CREAT | O_WRONLY, 0600);
            return !(write(fd, "abc", 3) == 3 && fdatasync(fd) == 0 && write(fd, "de", 2) == 2);
        }
    "#;

    fn left_of_writer(late: bool) -> (u64, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let syncs = SyncLog::new(dir.path(), late).unwrap();
        let (source, program, data) = (dir.path().join("w.c"), dir.path().join("w"), dir.path().join("data"));
        std::fs::write(&source, WRITER).unwrap();
        std::fs::create_dir(&data).unwrap();
        assert!(Command::new("cc").arg("-o").arg(&program).arg(&source).status().unwrap().success());
        assert!(Command::new(&program).envs(syncs.env()).current_dir(&data).status().unwrap().success());
        let dropped = syncs.drop_unsynced(&data).unwrap();
        (dropped, std::fs::read(data.join("1.log")).unwrap())
    }

    #[test]
    fn what_was_not_synced_is_cut_off() {
        assert_eq!(left_of_writer(false), (2, b"abc".to_vec()));
        assert_eq!(left_of_writer(true), (5, Vec::new()));
    }

    #[test]
    fn only_the_wal_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = SyncLog { library: PathBuf::new(), dir: dir.path().join("synced"), late: false };
        std::fs::create_dir_all(dir.path().join("data/db")).unwrap();
        for name in ["data/db/7.sst", "data/db/8.log", "data/CURRENT"] {
            std::fs::write(dir.path().join(name), b"1234").unwrap();
        }
        assert_eq!(log.drop_unsynced(&dir.path().join("data")).unwrap(), 4);
        assert_eq!(std::fs::read(dir.path().join("data/db/7.sst")).unwrap(), b"1234");
        assert_eq!(std::fs::read(dir.path().join("data/db/8.log")).unwrap(), b"");
    }
}
