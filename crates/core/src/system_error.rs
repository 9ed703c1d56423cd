//! What the operating system says, as Go prints it: SPIRE's texts hold it.

use std::io;
use std::path::Path;

/// In small letters, and without the number that Rust appends: `no such file or directory`.
pub fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = words.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// Why the file at `path` could not be read: `open PATH: no such file or directory`.
pub fn unreadable(path: &Path, error: &io::Error) -> String {
    // A directory can be opened.
    let step = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{step} {}: {}", path.display(), system_words(error))
}

/// Why the file at `path` could not be made: `open PATH: no such file or directory`. The error may have passed through
/// code that kept only its kind.
pub fn unwritable(path: &Path, error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "read-only file system".to_owned(),
        _ => system_words(error),
    };
    format!("open {}: {words}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_and_directories_are_named_as_go_names_them() {
        let told = |path: &str| unreadable(Path::new(path), &std::fs::read(path).unwrap_err());
        assert_eq!(told("/no/such"), "open /no/such: no such file or directory");
        assert_eq!(told("/"), "read /: is a directory");
        assert_eq!(system_words(&io::Error::other("Our own")), "our own");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named_as_go_names_it() {
        let told = |path: &str| {
            let error = std::fs::write(path, "").unwrap_err();
            unwritable(Path::new(path), &io::Error::new(error.kind(), "elsewhere"))
        };
        assert_eq!(told("/no/such"), "open /no/such: no such file or directory");
        assert_eq!(told("/"), "open /: is a directory");
        assert_eq!(told("/dev/null/x"), "open /dev/null/x: not a directory");
    }
}
