//! What the engine says of each case.

use std::collections::BTreeMap;
use std::collections::btree_map::Iter;

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

    pub fn iter(&self) -> Iter<'_, String, (Outcome, String)> {
        self.0.iter()
    }
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
}
