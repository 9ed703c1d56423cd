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
}
