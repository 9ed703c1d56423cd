//! A large file that takes its name only once it is complete.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};

use crate::{beside, create_new, sync_directory_of};

/// A file that is being written beside its place, with mode 0600. Dropped before [`NewFile::keep`], it is gone.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    /// Where it is written.
    new: PathBuf,
    path: PathBuf,
}

impl NewFile {
    /// `path` must not exist: a backup never takes the place of another one.
    pub fn create(path: &Path) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
        if path.try_exists().map_err(named)? {
            return Err(named(io::ErrorKind::AlreadyExists.into()));
        }
        let new = beside(path);
        let file = create_new(&new).map_err(named)?;
        Ok(Self { file, new, path: path.to_owned() })
    }

    /// What was written, from its beginning, for a check before it is kept.
    pub fn written(&mut self) -> io::Result<&mut File> {
        self.file.flush()?;
        self.file.rewind()?;
        Ok(&mut self.file)
    }

    /// Makes it durable and gives it its name.
    pub fn keep(self) -> io::Result<()> {
        let kept = self.file.sync_all().and_then(|()| fs::rename(&self.new, &self.path));
        let kept = kept.and_then(|()| sync_directory_of(&self.path));
        kept.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", self.path.display())))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Once it was kept there is nothing under this name.
        let _ = fs::remove_file(&self.new);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half of").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"all of it").unwrap();
        let mut text = String::new();
        file.written().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "all of it");
        file.keep().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn it_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        fs::write(&path, b"the first").unwrap();
        let error = NewFile::create(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(path.to_str().unwrap()));
        assert_eq!(fs::read(&path).unwrap(), b"the first");
    }
}
