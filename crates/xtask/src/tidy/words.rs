//! Words that must not be committed: marks of unfinished work, and paths of one person's machine.

use std::path::Path;

use super::Finding;

/// Unfinished work belongs to the issue list. (The macros of that kind are clippy's to find.)
const MARKS: [&str; 3] = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
/// Folders that exist on one machine only.
const MACHINE_PATHS: [&str; 3] = [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/home", "/")];

pub fn check(file: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut report = |text| findings.push(Finding::new(file, number + 1, text));
        if let Some(mark) = MARKS.iter().find(|mark| holds_word(line, mark)) {
            report(format!("{mark}: finish it or file an issue"));
        }
        if let Some(path) = MACHINE_PATHS.iter().find(|path| begins_a_path(line, path)) {
            report(format!("{path} exists on one machine only"));
        }
    }
    findings
}

fn holds_word(line: &str, word: &str) -> bool {
    let is_letter = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_letter) && !line[at + word.len()..].starts_with(is_letter))
}

/// `/x/work/y` is some path that happens to have such a part.
fn begins_a_path(line: &str, path: &str) -> bool {
    let part_of_a_path = |character: char| character.is_alphanumeric() || "._-~}*".contains(character);
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(part_of_a_path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        check(Path::new("a.rs"), text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn marks_are_whole_words() {
        assert_eq!(lines(&format!("ok\n// {}: later\n", MARKS[0])), [2]);
        assert_eq!(lines(&format!("{}_LIST and AUTO{}\n", MARKS[1], MARKS[1])), [0; 0]);
    }

    #[test]
    fn machine_paths_begin_a_path() {
        assert_eq!(lines(&format!("let x = \"{}main\";\n", MACHINE_PATHS[1])), [1]);
        assert_eq!(lines(&format!("target{}x\n", MACHINE_PATHS[1])), [0; 0]);
    }
}
