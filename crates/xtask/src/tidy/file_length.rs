//! A file holds one noun. A few hold an algorithm that is better whole: they are listed with their reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Finding, is_test};
use crate::checkout;

const FILE_LINES_MAX: usize = 600;
/// `path: reason` on each line.
const LIST: &str = "crates/xtask/long_files.txt";

pub struct Lengths {
    /// Whether the entry was needed.
    listed: BTreeMap<PathBuf, bool>,
}

impl Lengths {
    pub fn read() -> Result<Self> {
        let text = std::fs::read_to_string(checkout::root().join(LIST)).with_context(|| format!("reading {LIST}"))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { listed: lines.filter_map(|line| Some((line.split_once(':')?.0.into(), false))).collect() }
    }

    pub fn check(&mut self, file: &Path, text: &str) -> Option<Finding> {
        let lines = text.lines().count();
        if lines <= FILE_LINES_MAX || is_test(file) {
            return None;
        }
        if let Some(needed) = self.listed.get_mut(file) {
            *needed = true;
            return None;
        }
        Some(Finding::new(file, 0, format!("{lines} lines: divide it, or give its reason in {LIST}")))
    }

    /// Entries whose file is gone or short enough by now.
    pub fn unused(&self) -> Vec<Finding> {
        let unused = self.listed.iter().filter(|(_, needed)| !**needed);
        unused.map(|(file, _)| Finding::new(file, 0, format!("no longer needs its line in {LIST}"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_listed_and_nothing_else_is() {
        let mut lengths = Lengths::parse("# why\na.rs: one parser\nb.rs: gone\n");
        let long = "\n".repeat(601);
        assert_eq!(lengths.check(Path::new("a.rs"), &long), None);
        assert_eq!(lengths.check(Path::new("x/tests/c.rs"), &long), None);
        assert_eq!(lengths.check(Path::new("d.rs"), &"\n".repeat(600)), None);
        assert!(lengths.check(Path::new("d.rs"), &long).is_some());
        assert_eq!(lengths.unused().into_iter().map(|finding| finding.file).collect::<Vec<_>>(), [Path::new("b.rs")]);
    }
}
