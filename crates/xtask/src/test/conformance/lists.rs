//! The two committed lists: `passing.txt`, a case a line, and `not-yet.tsv`, a case and its reason a line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::outcomes::{Outcome, Outcomes};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lists {
    /// Enforced. It only grows.
    pub passing: BTreeSet<String>,
    /// Case -> why it does not pass yet.
    pub not_yet: BTreeMap<String, String>,
}

const PASSING: &str = "passing.txt";
const NOT_YET: &str = "not-yet.tsv";

impl Lists {
    pub fn read(folder: &Path) -> Result<Self> {
        let read = |name| std::fs::read_to_string(folder.join(name)).with_context(|| format!("reading {name}"));
        Self::parse(&read(PASSING)?, &read(NOT_YET)?)
    }

    fn parse(passing: &str, not_yet: &str) -> Result<Self> {
        let passing: BTreeSet<_> = passing.lines().map(str::to_owned).collect();
        let mut lists = Self { passing, not_yet: BTreeMap::new() };
        for line in not_yet.lines() {
            let (case, reason) = line.split_once('\t').unwrap_or((line, ""));
            if lists.passing.contains(case) {
                bail!("{case:?} is on both lists of conformance cases");
            }
            lists.not_yet.insert(case.to_owned(), reason.to_owned());
        }
        Ok(lists)
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        let passing: String = self.passing.iter().map(|case| format!("{case}\n")).collect();
        let not_yet: String = self.not_yet.iter().map(|(case, reason)| format!("{case}\t{reason}\n")).collect();
        std::fs::write(folder.join(PASSING), passing)?;
        std::fs::write(folder.join(NOT_YET), not_yet)?;
        Ok(())
    }

    /// Cases on either list.
    pub fn len(&self) -> usize {
        self.passing.len() + self.not_yet.len()
    }

    /// Without the cases that were not asked.
    pub fn only(&self, asked: &Outcomes) -> Self {
        let mut lists = self.clone();
        lists.passing.retain(|case| asked.get(case).is_some());
        lists.not_yet.retain(|case, _| asked.get(case).is_some());
        lists
    }

    /// Takes over what passes now, and notes what is new. A listed case that fails stays listed.
    pub fn learn(&mut self, outcomes: &Outcomes) -> String {
        let (mut passing, mut waiting) = (0, 0);
        for (case, (outcome, _)) in outcomes.iter() {
            if *outcome == Outcome::Passed {
                self.not_yet.remove(case);
                passing += usize::from(self.passing.insert(case.clone()));
            } else if !self.passing.contains(case) && !self.not_yet.contains_key(case) {
                self.not_yet.insert(case.clone(), String::new());
                waiting += 1;
            }
        }
        format!("{passing} more pass, {waiting} wait for a reason in {NOT_YET}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        Lists::parse("a: one\na: two\n", "a: three\tneeds an upstream\n").unwrap()
    }

    #[test]
    fn a_case_is_on_one_list() {
        assert!(Lists::parse("a: one\n", "a: one\tno\n").is_err());
        assert_eq!(lists().len(), 3);
    }

    #[test]
    fn the_list_of_passing_cases_only_grows() {
        let mut lists = lists();
        let news = lists.learn(&Outcomes::read("FAIL a: one\nPASS a: three\nFAIL a: four\nPASS a: five\n"));
        assert_eq!(news, "2 more pass, 1 wait for a reason in not-yet.tsv");
        assert_eq!(Vec::from_iter(&lists.passing), ["a: five", "a: one", "a: three", "a: two"]);
        assert_eq!(lists.not_yet, BTreeMap::from([("a: four".to_owned(), String::new())]));
    }
}
