//! Files that commands read.

use std::fs;
use std::io;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named_as_go_names_it() {
        let error = read_file("/no/such").unwrap_err();
        assert_eq!(error.to_string(), "open /no/such: no such file or directory");
    }
}
