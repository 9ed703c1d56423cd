//! Which suites there are, and which of them a call runs.

use anyhow::{Result, bail};

use super::verdict::Verdict;
use super::workshop::Workshop;
use super::{alerts, checks, conformance, demo, go, java, package, python, rust};

pub struct Suite {
    pub name: &'static str,
    part: Part,
    pub run: fn(&Workshop) -> Result<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Default,
    /// Too long for a change to wait for, or in need of foreign toolchains.
    Long,
    /// Part of another suite, unless it is asked for by name.
    Extract,
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What fits into twenty minutes.
    Default,
    Full,
    /// Foreign clients only.
    Interop,
    /// Suites of that name, or else those whose names hold the word; for each word.
    Named(Vec<String>),
}

/// In the order of a run: what is quick to say no comes first.
const SUITES: [Suite; 18] = [
    Suite { name: "format", part: Part::Default, run: checks::format },
    Suite { name: "direction", part: Part::Default, run: checks::direction },
    Suite { name: "generated code", part: Part::Default, run: checks::generated_code },
    Suite { name: "tidy", part: Part::Default, run: checks::tidy },
    Suite { name: "alerts", part: Part::Default, run: alerts::run },
    Suite { name: "clippy", part: Part::Default, run: checks::clippy },
    Suite { name: "rust", part: Part::Default, run: rust::run },
    Suite { name: "package", part: Part::Default, run: package::run },
    Suite { name: "interop: go", part: Part::Default, run: go::run },
    Suite { name: "interop: python", part: Part::Default, run: python::run },
    Suite { name: "interop: java", part: Part::Default, run: java::run },
    Suite { name: "interop: rust", part: Part::Extract, run: rust::interop },
    Suite { name: "conformance", part: Part::Default, run: conformance::run },
    Suite { name: "demo", part: Part::Default, run: demo::run },
    Suite { name: "leader kills", part: Part::Default, run: demo::few_leader_kills },
    Suite { name: "chaos", part: Part::Long, run: demo::faults },
    Suite { name: "leader kills (self-test)", part: Part::Long, run: demo::leader_kills_self_test },
    Suite { name: "leader kills (200)", part: Part::Long, run: demo::many_leader_kills },
];

impl Choice {
    /// From the words behind `cargo xtask`: the chore, and perhaps names of suites.
    pub fn new(chore: &str, words: &[String]) -> Self {
        match (chore, words) {
            (_, [_, ..]) => Self::Named(words.to_vec()),
            ("interop", _) => Self::Interop,
            ("test-full", _) => Self::Full,
            _ => Self::Default,
        }
    }

    pub fn suites(&self) -> Result<Vec<&'static Suite>> {
        let chosen: Vec<_> = SUITES.iter().filter(|suite| self.holds(suite)).collect();
        if chosen.is_empty() {
            let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
            bail!("no such suite; there are: {}", names.join(", "));
        }
        Ok(chosen)
    }

    fn holds(&self, suite: &Suite) -> bool {
        match self {
            Self::Default => suite.part == Part::Default,
            Self::Full => suite.part != Part::Extract,
            Self::Interop => suite.name.starts_with("interop"),
            Self::Named(words) => words.iter().any(|word| {
                let exact = SUITES.iter().any(|other| other.name == word);
                if exact { suite.name == word } else { suite.name.contains(word.as_str()) }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chore: &str, words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let suites = Choice::new(chore, &words).suites().unwrap_or_default();
        suites.iter().map(|suite| suite.name).collect()
    }

    #[test]
    fn a_choice_of_suites() {
        assert_eq!(names("interop", &[]), ["interop: go", "interop: python", "interop: java", "interop: rust"]);
        assert_eq!(names("test", &["java", "demo"]), ["interop: java", "demo"]);
        assert_eq!(names("test", &["leader kills"]), ["leader kills"]);
        assert_eq!(names("test", &["nonsense"]), [""; 0]);
        let (default, full) = (names("test", &[]), names("test-full", &[]));
        assert!(!default.contains(&"leader kills (200)") && full.contains(&"leader kills (200)"));
        assert!(!default.contains(&"interop: rust"), "the rust suite holds it");
    }
}
