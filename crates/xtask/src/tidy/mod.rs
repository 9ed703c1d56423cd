//! Rules for the text of sources and documents that no compiler checks. Each rule is a function from a file's text to
//! findings; this file says which rule reads which file.

mod file_length;
mod finding;
mod line_length;
mod links;
mod module_docs;
mod paths;
mod test_tables;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::checkout;
use finding::Finding;
use links::Links;
use paths::Paths;
use test_tables::TestTables;

pub use links::repoint as repoint_links;

pub fn check() -> Result<()> {
    let files = checkout::files()?;
    let mut findings = Vec::new();
    let mut lengths = file_length::Lengths::read()?;
    let mut test_tables = TestTables::default();
    let (links, paths) = (Links::new(&files), Paths::new(&files));
    for file in files.iter().filter(|file| !is_generated(file)) {
        // What is not UTF-8 is not for people to read.
        let Ok(text) = std::fs::read_to_string(checkout::root().join(file)) else { continue };
        if has_extension(file, &["rs", "proto", "go", "toml", "sh", "py", "java"]) {
            findings.extend(line_length::check(file, &text));
            findings.extend(lengths.check(file, &text));
        }
        if has_extension(file, &["rs"]) {
            findings.extend(module_docs::check(file, &text));
        }
        if has_extension(file, &["md"]) {
            findings.extend(links.check(file, &text));
            findings.extend(paths.check(file, &text));
        }
        findings.extend(words::check(file, &text));
        test_tables.read(file, &text);
    }
    findings.extend(lengths.unused());
    findings.extend(test_tables.findings());
    if findings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    bail!("{} findings\n{}", lines.len(), lines.join("\n"))
}

/// Text that a program wrote: the generated protocol code and lock files.
fn is_generated(file: &Path) -> bool {
    file.starts_with("crates/api/src/gen") || has_extension(file, &["lock", "sum"])
}

fn has_extension(file: &Path, extensions: &[&str]) -> bool {
    file.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
}

/// Sources of tests: a `tests` folder or file, or Go's `_test.go`.
fn is_test(file: &Path) -> bool {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    parts.iter().any(|part| matches!(part.as_ref(), "tests" | "tests.rs") || part.ends_with("_test.go"))
}

/// `folder/../name` without the detour; `None` when it leaves the checkout.
fn normalize(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => normal.push(name),
            std::path::Component::ParentDir => normal.pop().then_some(())?,
            std::path::Component::CurDir => {}
            _ => return None,
        }
    }
    Some(normal)
}
