//! Where lines go: standard output, standard error, or a file that can be reopened after a rotation.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

/// Cheap to clone; all clones write to the same place, a whole line at a time.
#[derive(Clone)]
pub struct Sink(Arc<Inner>);

struct Inner {
    path: Option<PathBuf>,
    target: Mutex<Box<dyn Write + Send>>,
}

impl Sink {
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    pub fn stderr() -> Self {
        Self::to(io::stderr())
    }

    /// Appends to the file, which is created with mode 0640 whatever the umask.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        Ok(Self(Arc::new(Inner { path: Some(path.to_owned()), target: Mutex::new(Box::new(file)) })))
    }

    /// Any writer, for tests.
    pub fn to(target: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Inner { path: None, target: Mutex::new(Box::new(target)) }))
    }

    /// Opens the file anew, after logrotate has moved the old one away. Does nothing for standard output. On an error
    /// the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.0.path {
            let file = open(path)?;
            *self.0.target.lock() = Box::new(file);
        }
        Ok(())
    }

    /// There is nowhere to report a failure of the log itself, so it is dropped, as logrus drops it.
    pub(crate) fn write(&self, line: &str) {
        let mut target = self.0.target.lock();
        let _ = target.write_all(line.as_bytes()).and_then(|()| target.flush());
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(LOG_FILE_MODE);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // The umask of a server leaves the group nothing.
            file.set_permissions(Permissions::from_mode(LOG_FILE_MODE))?;
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(error) => Err(error),
    }
}

/// Readable by an operators' group, not by everyone: logs name workloads and nodes.
const LOG_FILE_MODE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_rotated_file_is_reopened() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("x.log"), dir.path().join("x.log.1"));
        let sink = Sink::file(&path).unwrap();
        sink.write("one\n");
        fs::rename(&path, &old).unwrap();
        sink.write("two\n");
        sink.reopen().unwrap();
        sink.write("three\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // What an operator made of an existing file stays.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        sink.reopen().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_failed_reopen_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("d/x.log"), dir.path().join("e"));
        fs::create_dir(dir.path().join("d")).unwrap();
        let sink = Sink::file(&path).unwrap();
        fs::rename(dir.path().join("d"), &moved).unwrap();
        assert!(sink.reopen().is_err());
        sink.write("still\n");
        assert_eq!(fs::read_to_string(moved.join("x.log")).unwrap(), "still\n");
    }
}
