//! Files that are written whole or not at all: keys, certificates, backups and what an agent remembers.

mod new_file;
mod switched_folder;

pub use new_file::NewFile;
pub use switched_folder::{FolderFile, Ownership, SwitchedFolder};

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What a file shall hold, and its mode whatever the umask.
#[derive(Clone, Copy)]
pub struct FileContent<'c> {
    pub path: &'c Path,
    pub content: &'c [u8],
    pub mode: u32,
}

/// Mode 0600 whatever the umask: keys and tokens.
pub fn write_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    write_together(&[FileContent { path, content, mode: 0o600 }])
}

/// Mode 0644 whatever the umask: certificates.
pub fn write_public_file(path: &Path, content: &[u8]) -> io::Result<()> {
    write_together(&[FileContent { path, content, mode: 0o644 }])
}

/// Each through a new file beside it, so that a reader and a crash see the old content or the new, and so that there is
/// no window in which a key has wider permissions. Where one cannot be written, none changes. They take their names one
/// right after the other: whoever waits for the last has all.
pub fn write_together(files: &[FileContent<'_>]) -> io::Result<()> {
    let staged: Vec<(PathBuf, &FileContent<'_>)> = files.iter().map(|file| (beside(file.path), file)).collect();
    let each = |step: fn(&Path, &FileContent<'_>) -> io::Result<()>| {
        staged.iter().try_for_each(|(new, file)| {
            let told = |error: io::Error| format!("cannot write {}: {error}", file.path.display());
            step(new, file).map_err(|error| io::Error::new(error.kind(), told(error)))
        })
    };
    let written = each(|new, file| write_new(new, file.content, file.mode))
        .and_then(|()| each(|new, file| fs::rename(new, file.path)))
        .and_then(|()| each(|_, file| sync_directory_of(file.path)));
    if written.is_err() {
        for (new, _) in &staged {
            // What failed is worth reporting, not that the left-over could not be removed.
            let _ = fs::remove_file(new);
        }
    }
    written
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = create_new(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Mode 0600.
fn create_new(path: &Path) -> io::Result<File> {
    // Left by a process that crashed and had the same id, as in containers.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A name is in its directory for good only when the directory has been flushed too.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// A name of this process's own: of two writers, neither opens the other's file.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_do_not_depend_on_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_public_file(&path, b"a").unwrap();
        assert_eq!(mode(), 0o644);
        write_private_file(&path, b"b").unwrap();
        assert_eq!((mode(), fs::read(&path).unwrap()), (0o600, b"b".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_belong_together_change_together_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
        let write = |key: &Path, content: &[u8]| {
            write_together(&[
                FileContent { path: &cert, content, mode: 0o640 },
                FileContent { path: key, content, mode: 0o400 },
            ])
        };
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        write(&key, b"1").unwrap();
        assert_eq!((mode(&cert), mode(&key)), (0o640, 0o400));
        let error = write(&dir.path().join("none/key"), b"2").unwrap_err();
        assert!(error.to_string().contains("none/key"), "{error}");
        assert_eq!(fs::read(&cert).unwrap(), b"1");
        write(&key, b"3").unwrap();
        assert_eq!((fs::read(&cert).unwrap(), fs::read(&key).unwrap()), (b"3".to_vec(), b"3".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_left_over_of_a_crash_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(beside(&path), b"half of").unwrap();
        write_private_file(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/key");
        let error = write_private_file(&path, b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with(&format!("cannot write {}: ", path.display())));
    }
}
