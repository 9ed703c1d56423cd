//! Entries in the files of a directory, a file, or standard input.

use std::path::{Path, PathBuf};

use steeple_api::types::Entry;
use steeple_cli::{Call, Context, Failure};

use crate::cli::entry::data::{DataError, parse_entries};

/// An entry, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) entry: Entry,
    pub(super) source: String,
}

/// A member that nothing reads is refused: what is declared shall hold.
pub(super) fn read(call: &mut Call, path: &str) -> Result<Vec<Wanted>, Failure> {
    let mut wanted = Vec::new();
    for file in files(path)? {
        let parsed = parse_entries(&call.read(&file, "-")?).map_err(DataError::located).context(&file)?;
        if let Some(warning) = parsed.warnings.first() {
            return Err(Failure::Message(format!("{file}: {warning}; correct its name, or remove it")));
        }
        let named = parsed.entries.into_iter().enumerate();
        wanted.extend(named.map(|(at, entry)| Wanted { entry, source: format!("entry {at} of {file}") }));
    }
    Ok(wanted)
}

/// By name, so that messages come in one order.
fn files(path: &str) -> Result<Vec<String>, Failure> {
    if path == "-" || !Path::new(path).is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let found = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).context(path)?;
    let paths = found.into_iter().map(|found| found.path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    if files.is_empty() {
        // A volume that is not mounted must not prune everything.
        let text = "no file in it ends in .json; for no entries at all, name a file with {\"entries\": []}";
        return Err(Failure::Message(format!("{path}: {text}")));
    }
    files.sort();
    Ok(files.into_iter().map(|file| file.display().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_json_files_in_order_and_an_empty_one_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        assert!(files(path).unwrap_err().to_string().contains("no file in it ends in .json"));
        for name in ["b.json", "a.json", "notes.md"] {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        assert_eq!(files(path).unwrap(), [format!("{path}/a.json"), format!("{path}/b.json")]);
        assert_eq!(files("-").unwrap(), ["-"]);
    }
}
