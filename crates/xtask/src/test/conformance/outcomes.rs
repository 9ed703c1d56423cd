//! What the engine says of each case.

use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, BTreeSet};

/// From bad to good, so that of several cases with one name the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Failed,
    Skipped,
    Passed,
}

/// Case, as `area/scenario: name`, to its outcome and the engine's notes.
#[derive(Debug, Default, PartialEq)]
pub struct Outcomes(BTreeMap<String, (Outcome, String)>);

/// What the engine puts before each line of a note.
const NOTE: &str = "       ";

impl Outcomes {
    /// From the output of `run -v`: `PASS area/scenario: name`, notes indented below.
    pub fn read(output: &str) -> Self {
        let mut outcomes = Self::default();
        let mut case = String::new();
        for line in output.lines() {
            if let Some(note) = line.strip_prefix(NOTE) {
                if let Some((_, notes)) = outcomes.0.get_mut(&case) {
                    notes.push_str(&format!("    {note}\n"));
                }
            } else if let Some((outcome, name)) = verdict(line) {
                case = name.to_owned();
                let known = outcomes.0.entry(case.clone()).or_insert((outcome, String::new()));
                known.0 = known.0.min(outcome);
            } else {
                case.clear();
            }
        }
        outcomes
    }

    pub fn get(&self, case: &str) -> Option<Outcome> {
        self.0.get(case).map(|(outcome, _)| *outcome)
    }

    pub fn notes(&self, case: &str) -> &str {
        self.0.get(case).map_or("", |(_, notes)| notes)
    }

    /// Scenarios that fail only because the engine took a coordinate of a random key for a word. It tells them apart by
    /// how often the kind of character changes, which one key of some hundred thousand does too seldom.
    pub fn misread(&self) -> BTreeSet<String> {
        let failed = || self.0.iter().filter(|(_, (outcome, _))| *outcome == Outcome::Failed);
        let is_else = |notes: &str| !is_a_random_word(notes);
        let wrong: BTreeSet<&str> =
            failed().filter(|(_, (_, notes))| is_else(notes)).map(|(case, _)| scenario(case)).collect();
        failed().map(|(case, _)| scenario(case)).filter(|name| !wrong.contains(name)).map(str::to_owned).collect()
    }

    /// Takes what was seen later in place of what was seen of the same cases.
    pub fn replace(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    pub fn iter(&self) -> Iter<'_, String, (Outcome, String)> {
        self.0.iter()
    }
}

/// `area/scenario` of a case.
fn scenario(case: &str) -> &str {
    case.split_once(": ").map_or(case, |(scenario, _)| scenario)
}

/// Whether every difference in these notes is a coordinate of a P-256 key where the engine wants one (RFC 7518, section
/// 6.2.1.2: 32 octets, 43 characters).
fn is_a_random_word(notes: &str) -> bool {
    let is_coordinate = |got: &str| {
        let of_the_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        got.len() == 43 && got.bytes().all(of_the_alphabet)
    };
    let mut differences = 0;
    let mut lines = notes.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if !line.ends_with(": want \"<b64>\"") {
            return false;
        }
        let got = lines.next().and_then(|line| line.strip_prefix("got"));
        let got = got.and_then(|got| got.trim().strip_prefix('"')?.strip_suffix('"'));
        if !got.is_some_and(is_coordinate) {
            return false;
        }
        differences += 1;
    }
    differences > 0
}

fn verdict(line: &str) -> Option<(Outcome, &str)> {
    let (word, case) = line.split_once(' ')?;
    let outcome = match word {
        "PASS" => Outcome::Passed,
        "FAIL" => Outcome::Failed,
        "SKIP" => Outcome::Skipped,
        _ => return None,
    };
    Some((outcome, case))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_a_name_counts() {
        let output = "\
PASS entry/get: by id
FAIL entry/get: none
       code: OK, not NotFound
PASS entry/get: none
     entry/get took 1.2s
SKIP http/oidc: keys
       needs -oidc
2 passed, 1 failed, 1 skipped
";
        let outcomes = Outcomes::read(output);
        assert_eq!(outcomes.get("entry/get: by id"), Some(Outcome::Passed));
        assert_eq!(outcomes.get("entry/get: none"), Some(Outcome::Failed));
        assert_eq!(outcomes.get("http/oidc: keys"), Some(Outcome::Skipped));
        assert_eq!(outcomes.iter().count(), 3);
        assert_eq!(outcomes.notes("entry/get: none"), "    code: OK, not NotFound\n");
    }
    #[test]
    fn a_coordinate_that_looks_like_words_is_misread_and_nothing_else_is() {
        let misread = |got: &str, more: &str| {
            let before = "PASS workload/jwt: key\nFAIL workload/jwt: bundles\n";
            let note = format!("       responses.0.y: want \"<b64>\"\n       got  {got}\n");
            Outcomes::read(&[before, &note, more].concat()).misread()
        };
        let coordinate = "\"hKYVXPULzJknRVSOMJX92TPUOEBPAWwajyucRTOq-Ys\"";
        assert_eq!(misread(coordinate, ""), BTreeSet::from(["workload/jwt".to_owned()]));
        assert_eq!(misread(coordinate, "PASS workload/jwt: more\n").len(), 1);
        for other in ["\"short\"", "nothing", "\"hKYVXPULzJknRVSOMJX92TPUOEBPAWwajyucRTOq+Ys\""] {
            assert_eq!(misread(other, ""), BTreeSet::new(), "{other}");
        }
        assert_eq!(misread(coordinate, "       code: want OK\n       got  NotFound\n"), BTreeSet::new());
        assert_eq!(misread(coordinate, "FAIL workload/jwt: other\n       code: OK\n"), BTreeSet::new());
    }

    #[test]
    fn what_is_seen_later_counts() {
        let mut outcomes = Outcomes::read("FAIL a/b: one\n       why\nPASS a/c: two\n");
        outcomes.replace(Outcomes::read("PASS a/b: one\n"));
        assert_eq!(
            (outcomes.get("a/b: one"), outcomes.get("a/c: two")),
            (Some(Outcome::Passed), Some(Outcome::Passed))
        );
    }
}
