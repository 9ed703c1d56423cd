//! Audit files, line by line.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use steeple_cli::{Failure, Progress};
use steeple_core::unreadable;

use crate::audit::trail::siblings_of;

/// One file stands for all of its trail; several are what they are, in this order.
pub(super) fn named(names: &[String]) -> Result<Vec<PathBuf>, Failure> {
    match names {
        [one] => trail_of(Path::new(one)),
        several => Ok(several.iter().map(PathBuf::from).collect()),
    }
}

/// The oldest first.
pub(super) fn trail_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = siblings_of(path).map_err(|error| Failure::message(unreadable(path, &error)))?;
    files.push(path.to_owned());
    Ok(files)
}

/// A bar shows how far it is. Calls `line` with the file, the number of the line, its bytes, and whether it has an end.
pub(super) fn each_line(files: &[PathBuf], mut line: impl FnMut(&Path, u64, &[u8], bool)) -> Result<(), Failure> {
    let sizes = files.iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len()));
    let (total, mut read, mut progress) = (sizes.sum(), 0, Progress::new("audit files"));
    for path in files {
        let failed = |error: std::io::Error| Failure::message(unreadable(path, &error));
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let taken = reader.by_ref().take(LINE_READ_MAX).read_until(b'\n', &mut bytes).map_err(failed)?;
            if taken == 0 {
                break;
            }
            read += taken as u64;
            progress.at(read, total);
            match bytes.strip_suffix(b"\n") {
                Some(bytes) => line(path, number, bytes, true),
                None => line(path, number, &bytes, false),
            }
        }
    }
    Ok(())
}

/// Longer than any record, and than what a crash leaves of some.
const LINE_READ_MAX: u64 = 16 << 20;
