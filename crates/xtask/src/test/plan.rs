//! Which suites there are, and which of them a call runs.

use anyhow::{Result, bail};

use super::verdict::Verdict;
use super::workshop::Workshop;
use super::{alerts, checks, conformance, demo, go, java, kubernetes, older, package, python, rust};

pub struct Suite {
    pub name: &'static str,
    part: Part,
    place: Place,
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

/// Where a suite stands in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No other suite runs at that time: what reads the checkout goes by quickly, and what measures gaps would measure
    /// the other suite.
    Alone,
    /// The first lane: the workspace's own tests, which mostly wait for processes.
    Rust,
    /// The second lane, at the same time. The clients' fixtures stay in the common network, in which Maven and Go fetch
    /// what they need: a port of the testkit is reserved against other processes too, and lies outside the range of the
    /// ports that the kernel gives away. The conformance engine has no such reservation, but a network of its own.
    /// `chaos` asks nothing of the time that company could spoil.
    Others,
}

/// Suites that run one after the other.
pub type Lane = Vec<&'static Suite>;

/// Lanes that run at the same time; the next stage begins when all of them are done.
pub type Stage = Vec<Lane>;

/// Neighbours with a lane share a stage.
pub fn stages(suites: &[&'static Suite]) -> Vec<Stage> {
    let neighbours = suites.chunk_by(|one, next| one.place != Place::Alone && next.place != Place::Alone);
    neighbours.map(lanes).collect()
}

fn lanes(suites: &[&'static Suite]) -> Stage {
    let (rust, others): (Lane, Lane) = suites.iter().partition(|suite| suite.place == Place::Rust);
    [rust, others].into_iter().filter(|lane| !lane.is_empty()).collect()
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
const SUITES: [Suite; 21] = [
    Suite { name: "format", part: Part::Default, place: Place::Alone, run: checks::format },
    Suite { name: "direction", part: Part::Default, place: Place::Alone, run: checks::direction },
    Suite { name: "generated code", part: Part::Default, place: Place::Alone, run: checks::generated_code },
    Suite { name: "tidy", part: Part::Default, place: Place::Alone, run: checks::tidy },
    Suite { name: "alerts", part: Part::Default, place: Place::Alone, run: alerts::run },
    Suite { name: "clippy", part: Part::Default, place: Place::Alone, run: checks::clippy },
    Suite { name: "rust", part: Part::Default, place: Place::Rust, run: rust::run },
    Suite { name: "package", part: Part::Default, place: Place::Others, run: package::run },
    Suite { name: "kubernetes", part: Part::Default, place: Place::Others, run: kubernetes::run },
    Suite { name: "interop: go", part: Part::Default, place: Place::Others, run: go::run },
    Suite { name: "interop: python", part: Part::Default, place: Place::Others, run: python::run },
    Suite { name: "interop: java", part: Part::Default, place: Place::Others, run: java::run },
    Suite { name: "interop: rust", part: Part::Extract, place: Place::Rust, run: rust::interop },
    Suite { name: "conformance", part: Part::Default, place: Place::Others, run: conformance::run },
    Suite { name: "chaos", part: Part::Default, place: Place::Others, run: demo::faults },
    Suite { name: "simulation", part: Part::Default, place: Place::Others, run: demo::few_seeds },
    Suite { name: "demo", part: Part::Default, place: Place::Alone, run: demo::run },
    Suite { name: "leader kills", part: Part::Default, place: Place::Alone, run: demo::few_leader_kills },
    Suite { name: "upgrade", part: Part::Long, place: Place::Alone, run: older::run },
    Suite {
        name: "leader kills (self-test)",
        part: Part::Long,
        place: Place::Alone,
        run: demo::leader_kills_self_test,
    },
    Suite { name: "leader kills (200)", part: Part::Long, place: Place::Alone, run: demo::many_leader_kills },
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

    fn names_of_stages(chore: &str, words: &[&str]) -> Vec<Vec<Vec<&'static str>>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let suites = Choice::new(chore, &words).suites().unwrap();
        let names = |lane: &Lane| lane.iter().map(|suite| suite.name).collect();
        stages(&suites).iter().map(|stage| stage.iter().map(names).collect()).collect()
    }

    #[test]
    fn two_lanes_between_what_runs_alone() {
        let full = names_of_stages("test-full", &[]);
        let (before, after) = (["format", "clippy"], ["demo", "leader kills (200)"]);
        let others = [
            "package",
            "kubernetes",
            "interop: go",
            "interop: python",
            "interop: java",
            "conformance",
            "chaos",
            "simulation",
        ];
        assert_eq!(full[6], [vec!["rust"], others.to_vec()]);
        assert_eq!([&full[0], &full[5]], before.map(|name| vec![vec![name]]).each_ref());
        assert_eq!([&full[7], &full[11]], after.map(|name| vec![vec![name]]).each_ref());
        assert_eq!(full.len(), 12);
    }

    #[test]
    fn a_lane_alone_is_no_stage_of_two() {
        assert_eq!(names_of_stages("test", &["java"]), [[["interop: java"]]]);
        assert_eq!(names_of_stages("test", &["rust"]), [[["rust"]]]);
        let interop = [vec!["interop: rust"], vec!["interop: go", "interop: python", "interop: java"]];
        assert_eq!(names_of_stages("interop", &[]), [interop]);
    }
}
