//! Paths in backticks, in documents: each that begins like one of the checkout must be one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Finding;
use super::links::prose;

pub struct Paths {
    /// Files, and the folders above them.
    known: BTreeSet<PathBuf>,
}

impl Paths {
    pub fn new(files: &[PathBuf]) -> Self {
        Self { known: files.iter().flat_map(|file| file.ancestors()).map(Path::to_owned).collect() }
    }

    pub fn check(&self, file: &Path, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, line) in prose(text) {
            for path in line.split('`').skip(1).step_by(2).filter(|quoted| self.is_of_the_checkout(quoted)) {
                if !self.known.contains(Path::new(path.trim_end_matches('/'))) {
                    findings.push(Finding::new(file, number + 1, format!("`{path}` does not exist")));
                }
            }
        }
        findings
    }

    /// Without placeholders or words beside it, in a folder at the top.
    fn is_of_the_checkout(&self, quoted: &str) -> bool {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-/".contains(character);
        let top = quoted.split_once('/').map(|(top, _)| Path::new(top));
        quoted.chars().all(is_plain) && top.is_some_and(|top| top != Path::new("") && self.known.contains(top))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_gone_are_found() {
        let paths = Paths::new(&["crates/core/src/id.rs".into(), "docs/a.md".into()]);
        let found = |text: &str| paths.check(Path::new("docs/a.md"), text);
        let text = "`crates/core/src/id.rs`, `crates/core/`, `/crates/x`, `crates/*/x`, `id.rs`, `etc/x`, crates/x\n\
                    ```\n`crates/x`\n```\n";
        assert_eq!(found(text), []);
        let gone = found("\nsee `crates/core` and `crates/core/src/gone.rs`");
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].to_string(), "docs/a.md:2: `crates/core/src/gone.rs` does not exist");
    }
}
