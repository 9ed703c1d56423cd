//! Files of the checkout that are made of code: a test compares them, `cargo xtask fix` has the same test write them.

use std::fs;
use std::path::Path;

/// Set by `cargo xtask fix`.
const WRITE: &str = "STEEPLE_WRITE_COMMITTED";

/// Fails when the file at `path`, from the checkout's root, does not hold `text`. Tests that call this have names that
/// begin with `committed_`, by which `cargo xtask fix` runs them.
pub fn assert_committed(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(file.parent().expect("a file in a folder")).expect("the folder");
        fs::write(&file, text).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    // Not `assert_eq`, which would print both in full.
    let differs = committed.lines().zip(text.lines()).position(|(committed, wanted)| committed != wanted);
    assert!(committed == text, "{path} is not what the code gives (line {differs:?}): run cargo xtask fix");
}

/// As [`assert_committed`], for the part of a document between `<!-- NAME: -->` and `<!-- :NAME -->`, each on a line of
/// its own. People write the rest.
pub fn assert_committed_part(path: &str, name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let whole = fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    let (begin, end) = (format!("<!-- {name}: -->\n"), format!("<!-- :{name} -->\n"));
    let (before, rest) = whole.split_once(&begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{path} has no {end}"));
    assert_committed(path, &[before, &begin, "\n", text, &end, after].concat());
}
