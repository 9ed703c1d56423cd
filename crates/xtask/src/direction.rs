//! Dependencies between the workspace's crates point one way, and two outside crates are named in one place each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, checkout};

/// An arrow of the crate graph: `from` asks for `to`, for its tests only or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    tests: bool,
}

/// What cargo knows of the workspace. Our names are without the prefix, others as they are.
#[derive(Debug, Default)]
struct Graph {
    packages: BTreeSet<String>,
    arrows: BTreeSet<Arrow>,
}

/// The committed list.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    allowed: BTreeSet<Arrow>,
    /// Outside crate -> (our crate, folder).
    confined: BTreeMap<String, (String, String)>,
}

pub fn check() -> Result<()> {
    let text = std::fs::read_to_string(checkout::root().join(RULES)).with_context(|| format!("reading {RULES}"))?;
    let rules = Rules::parse(&text)?;
    let mut findings = rules.wrong_arrows(&Graph::read(&cargo::metadata()?));
    for file in checkout::files()?.iter().filter(|file| file.extension().is_some_and(|found| found == "rs")) {
        let source = std::fs::read_to_string(checkout::root().join(file))?;
        findings.extend(rules.misplaced_names(file, &source));
    }
    if findings.is_empty() {
        return Ok(());
    }
    bail!("{}", findings.join("\n"))
}

impl Rules {
    fn parse(text: &str) -> Result<Self> {
        let mut rules = Self::default();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        for line in lines.filter(|line| !line.is_empty()) {
            let (head, tail) = line.split_once(':').with_context(|| format!("{RULES}: no colon in {line:?}"))?;
            let mut words = tail.split_whitespace().map(str::to_owned);
            if let Some(outside) = head.strip_prefix("only ") {
                let (Some(ours), Some(folder)) = (words.next(), words.next()) else {
                    bail!("{RULES}: {line:?} needs a crate and a folder");
                };
                rules.confined.insert(outside.trim().to_owned(), (ours, folder));
                continue;
            }
            let (from, tests) = match head.strip_suffix(" tests") {
                Some(from) => (from, true),
                None => (head, false),
            };
            rules.allowed.extend(words.map(|to| Arrow { from: from.to_owned(), to, tests }));
        }
        Ok(rules)
    }

    fn wrong_arrows(&self, graph: &Graph) -> Vec<String> {
        let wrong = |arrow: &&Arrow| match self.confined.get(&arrow.to) {
            Some((owner, _)) => *owner != arrow.from,
            None => graph.packages.contains(&arrow.to) && !self.allows(arrow),
        };
        let wrong = graph.arrows.iter().filter(wrong);
        wrong.map(|Arrow { from, to, .. }| format!("{from} may not use {to}; see {RULES}")).collect()
    }

    /// Tests may use whatever the sources may.
    fn allows(&self, arrow: &Arrow) -> bool {
        self.allowed.contains(arrow) || self.allowed.contains(&Arrow { tests: false, ..arrow.clone() })
    }

    fn misplaced_names(&self, file: &Path, source: &str) -> Vec<String> {
        let mut findings = Vec::new();
        for (outside, (_, folder)) in self.confined.iter().filter(|(_, (_, folder))| !file.starts_with(folder)) {
            let paths = [format!("{outside}::"), format!("use {outside}"), format!("extern crate {outside}")];
            for (number, line) in source.lines().enumerate() {
                if paths.iter().any(|path| names(line, path)) {
                    let place = format!("{}:{}", file.display(), number + 1);
                    findings.push(format!("{place}: only {folder} may name {outside}"));
                }
            }
        }
        findings
    }
}

/// Whether a line of code, not of a comment, holds the path as a whole word.
fn names(line: &str, path: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let part_of_a_name = |character: char| character.is_alphanumeric() || matches!(character, '_' | '"' | ':');
    code.match_indices(path).any(|(at, _)| !code[..at].ends_with(part_of_a_name))
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().trim_start_matches("steeple-").to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut graph = Self::default();
        for package in list(&metadata["packages"]) {
            let from = text(&package["name"]);
            graph.arrows.extend(list(&package["dependencies"]).iter().map(|dependency| Arrow {
                from: from.clone(),
                to: text(&dependency["name"]),
                tests: dependency["kind"] == "dev",
            }));
            graph.packages.insert(from);
        }
        graph
    }
}

const RULES: &str = "crates/xtask/direction.txt";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIST: &str = "# words\ncore:\napi: core\napi tests: testkit\nonly sled: storage crates/storage/\n";

    fn wrong(from: &str, to: &str, kind: Value) -> Vec<String> {
        let dependency = json!({ "name": to, "kind": kind });
        let others = ["core", "api", "testkit", "storage"].map(|name| format!("steeple-{name}"));
        let mut packages: Vec<Value> = others.iter().map(|name| json!({ "name": name, "dependencies": [] })).collect();
        packages.push(json!({ "name": from, "dependencies": [dependency] }));
        Rules::parse(LIST).unwrap().wrong_arrows(&Graph::read(&json!({ "packages": packages })))
    }

    #[test]
    fn only_listed_arrows() {
        assert_eq!(wrong("steeple-api", "steeple-core", Value::Null), [""; 0]);
        assert_eq!(wrong("steeple-api", "steeple-core", json!("dev")), [""; 0]);
        assert_eq!(wrong("steeple-api", "serde", Value::Null), [""; 0]);
        assert_eq!(wrong("steeple-api", "steeple-testkit", json!("dev")), [""; 0]);
        assert_eq!(wrong("steeple-api", "steeple-testkit", Value::Null).len(), 1);
        assert_eq!(wrong("steeple-core", "steeple-api", json!("dev")).len(), 1);
    }

    #[test]
    fn only_one_crate_may_ask_for_a_confined_one() {
        assert_eq!(wrong("steeple-storage", "sled", Value::Null), [""; 0]);
        assert_eq!(wrong("steeple-api", "sled", Value::Null).len(), 1);
    }

    #[test]
    fn only_one_folder_may_name_a_confined_crate() {
        let rules = Rules::parse(LIST).unwrap();
        let found = |file: &str, line: &str| rules.misplaced_names(Path::new(file), line).len();
        assert_eq!(found("crates/api/src/a.rs", "use sled::DB;"), 1);
        assert_eq!(found("crates/api/src/a.rs", "let x: sled::DB;"), 1);
        assert_eq!(found("crates/storage/src/a.rs", "use sled::DB;"), 0);
        assert_eq!(found("crates/api/src/a.rs", "crate::sled::build(); // sled::DB"), 0);
    }

    #[test]
    fn a_line_without_colon_is_an_error() {
        assert!(Rules::parse("api core").is_err());
        assert!(Rules::parse("only openraft: server-raft").is_err());
    }
}
