//! Files that commands read and write.

use std::fs;
use std::io;
use std::path::Path;

use steeple_core::{unreadable, unwritable};

use crate::Failure;

/// An error names the file, in Go's words: `open PATH: no such file or directory`.
pub fn read_file(path: &str) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| io::Error::new(error.kind(), unreadable(Path::new(path), &error)))
}

/// Names the file that could not be written.
pub fn written(path: &Path, result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| Failure::Message(unwritable(path, &error)))
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
