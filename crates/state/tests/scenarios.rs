//! Scenarios as text: `tests/scenarios/*.txt` hold commands and what the machine answers.
//!
//! A block is commands, a line `----`, and the expected transcript up to an empty line. `#` begins a comment. With
//! `STEEPLE_REWRITE=1` the expectations are rewritten from what the machine says; read the diff before keeping it.

mod common;
#[path = "scenarios/language.rs"]
mod language;

use std::path::{Path, PathBuf};
use std::{env, fs};

use language::Scenario;

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    let mut failures = Vec::new();
    for path in files {
        let expected = fs::read_to_string(&path).unwrap();
        let actual = play(&expected);
        if actual == expected {
            continue;
        }
        match env::var_os("STEEPLE_REWRITE") {
            Some(_) => fs::write(&path, actual).unwrap(),
            None => failures.push(format!("{}:\n{}", path.display(), difference(&expected, &actual))),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The file with the transcript in the place of the expectations.
fn play(text: &str) -> String {
    let mut scenario = Scenario::default();
    let mut output = String::new();
    let mut answers = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        output.push_str(line);
        output.push('\n');
        if line == "----" {
            lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
            answers.drain(..).for_each(|answer: String| output.push_str(&format!("{answer}\n")));
            output.push('\n');
        } else if !line.is_empty() && !line.starts_with('#') {
            answers.extend(scenario.run(line));
        }
    }
    let trimmed = output.trim_end();
    format!("{trimmed}\n")
}

fn difference(expected: &str, actual: &str) -> String {
    let mut lines = expected.lines().zip(actual.lines()).enumerate();
    match lines.find(|(_, (expected, actual))| expected != actual) {
        Some((at, (expected, actual))) => format!("line {}\n  expected {expected}\n  actual   {actual}", at + 1),
        None => "one is longer than the other".to_owned(),
    }
}
