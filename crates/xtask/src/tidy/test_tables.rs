//! `docs/bad-input.md` maps each kind of bad input to the test that feeds it in, `docs/traps.md` each trap of Raft and
//! RocksDB to the test that steps into it. Every row must name one, and every name must be a test that exists.

use std::collections::BTreeSet;
use std::path::Path;

use super::Finding;

const DOCUMENTS: [&str; 2] = ["docs/bad-input.md", "docs/traps.md"];

#[derive(Default)]
pub struct TestTables {
    /// In Rust, Go or Python.
    tests: BTreeSet<String>,
    /// Document, line, and the names in backticks in the row's last cell.
    rows: Vec<(&'static str, usize, Vec<String>)>,
}

impl TestTables {
    pub fn read(&mut self, file: &Path, text: &str) {
        if let Some(document) = DOCUMENTS.into_iter().find(|document| file == Path::new(document)) {
            self.rows.extend(rows(text).into_iter().map(|(line, names)| (document, line, names)));
            return;
        }
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => self.tests.extend(rust_tests(text)),
            Some("go") => self.tests.extend(named_tests(text, "func ", "Test")),
            Some("py") => self.tests.extend(named_tests(text, "def ", "test_")),
            _ => {}
        }
    }

    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (document, line, names) in &self.rows {
            if names.is_empty() {
                findings.push(Finding::new(Path::new(document), *line, "the row names no test"));
            }
            for name in names.iter().filter(|name| !self.tests.contains(*name)) {
                findings.push(Finding::new(Path::new(document), *line, format!("there is no test `{name}`")));
            }
        }
        findings
    }
}

/// Table rows below a `|---|` line.
fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    let mut in_body = false;
    for (number, line) in text.lines().enumerate() {
        let Some(cells) = line.trim().strip_prefix('|').map(|line| line.trim_end_matches('|')) else {
            in_body = false;
            continue;
        };
        if cells.chars().all(|character| "-:| ".contains(character)) {
            in_body = true;
        } else if in_body {
            let last = cells.rsplit('|').next().unwrap_or_default();
            let names = last.split('`').skip(1).step_by(2);
            rows.push((number + 1, names.map(|name| name.rsplit("::").next().unwrap_or(name).to_owned()).collect()));
        }
    }
    rows
}

/// Functions below a `#[test]` of any kind.
fn rust_tests(text: &str) -> Vec<String> {
    let (mut tests, mut is_test) = (Vec::new(), false);
    for line in text.lines() {
        let attribute = line.trim_start().strip_prefix("#[");
        is_test |=
            attribute.is_some_and(|attribute| attribute.starts_with("test") || attribute.starts_with("tokio::test"));
        if let Some(name) = function(line, "fn ") {
            tests.extend(std::mem::take(&mut is_test).then(|| name.to_owned()));
        }
    }
    tests
}

/// Functions that a test runner knows by their names.
fn named_tests(text: &str, keyword: &str, prefix: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| function(line, keyword));
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// The name of the function that begins on this line.
fn function<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let before = line.trim_start().split(keyword).next()?;
    let modifiers = before.split_whitespace().all(|word| word.starts_with("pub") || word == "async" || word == "const");
    let (_, after) = line.split_once(keyword).filter(|_| modifiers)?;
    after
        .split(|character: char| !character.is_alphanumeric() && character != '_')
        .next()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_a_test_that_exists() {
        let mut rule = TestTables::default();
        let tests = "    #[tokio::test]\n    async fn a_port_in_use() {\n// fn in_a_comment()\nfn no_test() {}\n";
        rule.read(Path::new("a.rs"), tests);
        rule.read(Path::new("b_test.go"), "func TestSlow(t *testing.T) {\n");
        let table = "| input | test |\n|---|---|\n| port in use | `a::a_port_in_use` |\n| slow | `TestSlow` |\n\
                     | typo | `in_a_comment` |\n| full disk | later |\n";
        rule.read(Path::new(DOCUMENTS[0]), table);
        let findings: Vec<_> = rule.findings().iter().map(Finding::to_string).collect();
        assert_eq!(
            findings,
            ["docs/bad-input.md:5: there is no test `in_a_comment`", "docs/bad-input.md:6: the row names no test"]
        );
        rule.read(Path::new(DOCUMENTS[1]), "| trap | test |\n|---|---|\n| purge | `trap_purge` |\n");
        assert_eq!(rule.findings()[2].to_string(), "docs/traps.md:3: there is no test `trap_purge`");
    }
}
