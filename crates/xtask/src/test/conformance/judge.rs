//! Compares what was promised with what happened.

use super::lists::Lists;
use super::outcomes::{Outcome, Outcomes};
use crate::test::tally::Tally;

#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    pub tally: Tally,
    /// What fails the suite, with the engine's notes.
    wrong: Vec<String>,
    /// Passes without being listed.
    news: Vec<String>,
}

pub fn judge(lists: &Lists, outcomes: &Outcomes) -> Judgement {
    let mut judgement = Judgement::default();
    for case in &lists.passing {
        match outcomes.get(case) {
            Some(Outcome::Passed) => judgement.tally.passed += 1,
            Some(Outcome::Failed) => judgement.fail(format!("{case}\n{}", outcomes.notes(case))),
            Some(Outcome::Skipped) => judgement.fail(format!("{case}\n    skipped, though it is listed as passing")),
            None => judgement.fail(format!("{case}\n    listed as passing, but there is no such case")),
        }
    }
    for (case, (outcome, _)) in outcomes.iter().filter(|(case, _)| !lists.passing.contains(*case)) {
        match (outcome, lists.not_yet.get(case).map(String::as_str)) {
            (Outcome::Passed, _) => judgement.news.push(case.clone()),
            (_, None | Some("")) => {
                judgement.fail(format!("{case}\n    give its reason in not-yet.tsv\n{}", outcomes.notes(case)));
            }
            (_, Some(_)) => judgement.tally.not_run += 1,
        }
    }
    judgement.tally.passed += judgement.news.len();
    judgement
}

impl Judgement {
    fn fail(&mut self, what: String) {
        self.tally.failed += 1;
        self.wrong.push(what.trim_end().to_owned());
    }

    pub fn complaint(&self) -> Option<String> {
        let mut lines = self.wrong.clone();
        if !self.news.is_empty() {
            lines.push("these pass and are not listed; `cargo xtask conformance` adds them:".to_owned());
            lines.extend(self.news.iter().map(|case| format!("    {case}")));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(output: &str) -> Judgement {
        let mut lists = Lists::default();
        lists.passing.extend(["a: one", "a: two"].map(str::to_owned));
        lists.not_yet.insert("a: three".to_owned(), "needs an upstream".to_owned());
        lists.not_yet.insert("a: four".to_owned(), String::new());
        judge(&lists, &Outcomes::read(output))
    }

    #[test]
    fn a_listed_case_must_pass() {
        let judgement = judged("PASS a: one\nFAIL a: two\n       why\nFAIL a: three\n");
        assert_eq!(judgement.tally, Tally { passed: 1, failed: 1, double: 0, not_run: 1 });
        assert_eq!(judgement.complaint().unwrap(), "a: two\n    why");
    }

    #[test]
    fn a_listed_case_must_exist() {
        assert_eq!(judged("PASS a: one\n").tally, Tally { passed: 1, failed: 1, double: 0, not_run: 0 });
        assert_eq!(judged("PASS a: one\nSKIP a: two\n").tally.failed, 1);
    }

    #[test]
    fn what_is_not_listed_needs_a_reason() {
        let judgement = judged("PASS a: one\nPASS a: two\nFAIL a: four\nFAIL a: five\n");
        assert_eq!(judgement.tally, Tally { passed: 2, failed: 2, double: 0, not_run: 0 });
    }

    #[test]
    fn what_passes_unlisted_is_told() {
        let judgement = judged("PASS a: one\nPASS a: two\nPASS a: three\nPASS a: six\n");
        assert_eq!(judgement.tally, Tally { passed: 4, failed: 0, double: 0, not_run: 0 });
        assert!(judgement.complaint().unwrap().ends_with("    a: six\n    a: three"), "{judgement:?}");
    }
}
