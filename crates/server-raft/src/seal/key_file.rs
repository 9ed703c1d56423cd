//! The file with the sealing key: made by the node that founds a cluster, given to every other one.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use steeple_ca::seal::{KeyFile, KeyFileError};
use zeroize::Zeroizing;

#[derive(Debug, thiserror::Error)]
pub enum KeyPathError {
    #[error(
        "no sealing key at {path}: copy the file of that name from a running replica (mode 0600), \
         or set cluster.sealing_key_path; only the node that founds a cluster makes one"
    )]
    Missing { path: PathBuf },
    #[error("{path} can be read by others (mode {mode:04o}): run chmod 600 {path}")]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("sealing key {path}: {source}; make the file readable for this server, or set cluster.sealing_key_path")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is no sealing key: {source}; copy the file of that name from a running replica")]
    Unreadable { path: PathBuf, source: KeyFileError },
}

/// What the file holds; [`KeyPathError::Missing`] where there is none.
pub fn read(path: &Path) -> Result<KeyFile, KeyPathError> {
    let io = |source| KeyPathError::Io { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(KeyPathError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(io(error)),
    };
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyPathError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
    KeyFile::parse(&text).map_err(|source| KeyPathError::Unreadable { path: path.to_owned(), source })
}

/// Whether no cluster has the key yet, which whoever provides a key says with a file beside it.
pub fn is_unused(path: &Path) -> bool {
    unused_mark(path).exists()
}

/// From now on the key is that of a cluster.
pub fn mark_used(path: &Path) -> Result<(), KeyPathError> {
    let mark = unused_mark(path);
    match fs::remove_file(&mark) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(KeyPathError::Io { path: mark, source }),
        _ => Ok(()),
    }
}

fn unused_mark(path: &Path) -> PathBuf {
    beside(path, ".unused")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a new file, once, durable before anything is sealed with it. False when there is one already, of another
/// process that started at once; it stays.
pub fn create(path: &Path, content: &KeyFile) -> Result<bool, KeyPathError> {
    let io = |source| KeyPathError::Io { path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        fs::create_dir_all(parent).map_err(io)?;
    }
    // The temporary name is this process's own: of two that start at once, link lets one win.
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(io)?;
    let written = file.write_all(content.to_file().expose()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(io(error)),
    }
    sync_directory_of(path).map_err(io)?;
    tracing::info!(path = %path.display(), "sealing key made; keep a copy apart from the data and its backups");
    Ok(true)
}

/// As [`create`] in place of the one that is there: a reader and a crash see the old content or the new.
pub fn replace(path: &Path, content: &KeyFile) -> Result<(), KeyPathError> {
    let written = steeple_files::write_private_file(path, content.to_file().expose());
    written.map_err(|source| KeyPathError::Io { path: path.to_owned(), source })
}

/// Where the key lies that is to take the place of the one in `path`.
pub fn next_path(path: &Path) -> PathBuf {
    beside(path, ".next")
}

/// The key beside takes the place of the one in `path`, durable on return: a reader and a crash see one or the other.
pub fn promote_next(path: &Path) -> Result<(), KeyPathError> {
    let io = |source| KeyPathError::Io { path: path.to_owned(), source };
    fs::rename(next_path(path), path).map_err(io)?;
    sync_directory_of(path).map_err(io)
}

/// Removes the key beside, if there is one.
pub fn discard_next(path: &Path) -> Result<(), KeyPathError> {
    let next = next_path(path);
    match fs::remove_file(&next) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(KeyPathError::Io { path: next, source }),
        _ => Ok(()),
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}

/// A key file has some seventy bytes, a wrapped one a few hundred; whatever is larger is something else.
const FILE_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use aws_lc_rs::rand::SystemRandom;
    use steeple_ca::seal::SealingKey;

    use super::*;

    fn key() -> KeyFile {
        KeyFile::Plain(SealingKey::generate(&SystemRandom::new()).unwrap())
    }

    fn id(path: &Path) -> String {
        match read(path).unwrap() {
            KeyFile::Plain(key) => key.id().unwrap(),
            KeyFile::Wrapped(wrapped) => wrapped.key_id,
        }
    }

    #[test]
    fn it_is_made_once_and_others_must_be_given_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/sealing.key");
        let missing = read(&path).err().unwrap().to_string();
        assert!(missing.contains(path.to_str().unwrap()) && missing.contains("copy the file"), "{missing}");
        assert!(create(&path, &key()).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let made = id(&path);
        assert!(!create(&path, &key()).unwrap());
        assert_eq!(id(&path), made);
        replace(&path, &key()).unwrap();
        assert_ne!(id(&path), made);
        assert_eq!(fs::read_dir(dir.path().join("keys")).unwrap().count(), 1);
    }

    #[test]
    fn the_next_key_takes_the_place_of_the_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        create(&path, &key()).unwrap();
        discard_next(&path).unwrap();
        replace(&next_path(&path), &key()).unwrap();
        let (before, after) = (id(&path), id(&next_path(&path)));
        assert_ne!(before, after);
        promote_next(&path).unwrap();
        assert_eq!((id(&path), next_path(&path).exists()), (after, false));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(promote_next(&path), Err(KeyPathError::Io { .. })));
        replace(&next_path(&path), &key()).unwrap();
        discard_next(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        create(&path, &key()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(KeyPathError::TooOpen { mode: 0o644, .. })));
    }

    #[test]
    fn another_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        fs::write(&path, "hello").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read(&path), Err(KeyPathError::Unreadable { .. })));
    }
}
