//! What is left of a replica's log when the power goes.
//!
//! The kernel keeps what a killed process wrote, so a power cut needs more than SIGKILL: a small library in front of
//! libc notes how much of each file was synced, and the rest is cut off before the replica starts again. Only RocksDB's
//! WAL is cut; its other files are synced before the manifest names them.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use steeple_testkit::Preload;

/// Lengths that were synced, by inode; and what the disk does to those who sync.
pub(crate) struct SyncLog {
    preload: Preload,
    dir: PathBuf,
    late: bool,
}

impl SyncLog {
    /// Compiles the library into `dir`. With `late` every promise comes one sync too late.
    pub(crate) fn new(dir: &Path, late: bool) -> anyhow::Result<Self> {
        let synced = dir.join("synced");
        std::fs::create_dir(&synced)?;
        let mut variables = vec![("STEEPLE_SYNCED_DIR".to_owned(), synced.to_string_lossy().into_owned())];
        if late {
            variables.push(("STEEPLE_SYNCED_LATE".to_owned(), "1".to_owned()));
        }
        Ok(Self { preload: Preload::compile(dir, "synced", SOURCE, variables)?, dir: synced, late })
    }

    /// For a server whose syncs are noted.
    pub(crate) fn preload(&self) -> &Preload {
        &self.preload
    }

    /// From now on each sync takes long enough for a cut to fall into it.
    pub(crate) fn slow_down(&self) -> io::Result<()> {
        self.slow_down_by(TEARABLE)
    }

    /// From now on each sync takes so much longer; ten seconds are the most.
    pub(crate) fn slow_down_by(&self, pause: Duration) -> io::Result<()> {
        let (new, slow) = (self.dir.join("slow.new"), self.dir.join("slow"));
        std::fs::write(&new, pause.as_millis().to_string())?;
        std::fs::rename(new, slow)
    }

    /// From now on each sync fails, as on a disk that is breaking.
    pub(crate) fn fail(&self) -> io::Result<()> {
        std::fs::write(self.dir.join("fail"), "")
    }

    /// Undoes [`SyncLog::slow_down`] and [`SyncLog::fail`].
    pub(crate) fn mend(&self) -> io::Result<()> {
        for name in ["slow", "fail"] {
            match std::fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Cuts every WAL file below `data_dir` to what was synced of it; returns how much that took.
    pub(crate) fn drop_unsynced(&self, data_dir: &Path) -> anyhow::Result<u64> {
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
        let said = data_dir.join("db/SYNCED");
        if self.late && said.exists() {
            // Written behind a sync that was none, it would have the store refused instead of opened with a loss.
            std::fs::remove_file(said)?;
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

/// What a sync takes longer so that a cut falls into it.
const TEARABLE: Duration = Duration::from_millis(40);

const SOURCE: &str = include_str!("synced.c");

#[cfg(test)]
mod tests {
    use std::process::Command;

    use steeple_testkit::{compile_program, preload_env};

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

    /// Whether the writer was content.
    fn write(dir: &Path, syncs: &SyncLog) -> bool {
        let (program, data) = (compile_program(dir, "writer", WRITER).unwrap(), dir.join("data"));
        std::fs::create_dir_all(&data).unwrap();
        let mut command = Command::new(program);
        command.envs(preload_env(&[syncs.preload()])).current_dir(data).status().unwrap().success()
    }

    fn left_of_writer(late: bool) -> (u64, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let syncs = SyncLog::new(dir.path(), late).unwrap();
        assert!(write(dir.path(), &syncs));
        let data = dir.path().join("data");
        let dropped = syncs.drop_unsynced(&data).unwrap();
        (dropped, std::fs::read(data.join("1.log")).unwrap())
    }

    #[test]
    fn what_was_not_synced_is_cut_off() {
        assert_eq!(left_of_writer(false), (2, b"abc".to_vec()));
        assert_eq!(left_of_writer(true), (5, Vec::new()));
    }

    #[test]
    fn a_breaking_disk_says_so_until_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let syncs = SyncLog::new(dir.path(), false).unwrap();
        syncs.fail().unwrap();
        assert!(!write(dir.path(), &syncs));
        syncs.mend().unwrap();
        assert!(write(dir.path(), &syncs));
    }

    #[test]
    fn only_the_wal_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = SyncLog::new(dir.path(), false).unwrap();
        std::fs::create_dir_all(dir.path().join("data/db")).unwrap();
        for name in ["data/db/7.sst", "data/db/8.log", "data/CURRENT"] {
            std::fs::write(dir.path().join(name), b"1234").unwrap();
        }
        assert_eq!(log.drop_unsynced(&dir.path().join("data")).unwrap(), 4);
        assert_eq!(std::fs::read(dir.path().join("data/db/7.sst")).unwrap(), b"1234");
        assert_eq!(std::fs::read(dir.path().join("data/db/8.log")).unwrap(), b"");
    }
}
