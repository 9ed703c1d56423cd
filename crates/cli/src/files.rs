//! Files that commands read, and those that they leave behind, which are written whole or not at all.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An error names the file, in Go's words: `open PATH: no such file or directory`.
pub fn read_file(path: &str) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| io::Error::new(error.kind(), format!("open {path}: {}", system_words(&error))))
}

/// The system's words for an error as Go prints them: in small letters, without the number that Rust appends.
pub(crate) fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = words.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// Mode 0600 whatever the umask: keys and tokens.
pub fn write_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, 0o600)
}

/// Mode 0644 whatever the umask: certificates.
pub fn write_public_file(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, 0o644)
}

/// Through a new file beside it, so that a reader sees the old content or the new and never has a window in which a key
/// has wider permissions.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path);
    let written = write_new(&new, content, mode).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // What failed is worth reporting, not that the left-over could not be removed.
        let _ = fs::remove_file(&new);
    }
    written.map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display())))
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

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
    fn a_missing_file_is_named_as_go_names_it() {
        let error = read_file("/no/such").unwrap_err();
        assert_eq!(error.to_string(), "open /no/such: no such file or directory");
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
