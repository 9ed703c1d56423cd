//! How long before its first use an authority was known to everybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::register::Line;

/// Of each authority that was new during the run and signed an SVID that a workload was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slack {
    /// Milliseconds from when the last workload had it in its bundle until the first one was shown an SVID by it.
    pub(super) milliseconds: Vec<i64>,
    /// Authorities that some workload never had in its bundle.
    pub(super) unknown: Vec<String>,
}

/// What is known of one authority; times are microseconds.
#[derive(Default)]
struct Authority {
    known_at: BTreeMap<usize, u64>,
    used_at: Option<u64>,
}

impl Slack {
    pub(super) fn of(history: &[Line]) -> Self {
        let certificates = history.iter().filter_map(|line| match line {
            Line::Shown { at_us, workload, issuer, authorities } => Some((at_us, workload, issuer, authorities)),
            _ => None,
        });
        let tokens = history.iter().filter_map(|line| match line {
            Line::ShownToken { at_us, workload, issuer, authorities } => Some((at_us, workload, issuer, authorities)),
            _ => None,
        });
        let mut slack = Self::default();
        slack.add(certificates);
        slack.add(tokens);
        slack
    }

    /// Of one kind: when, to which workload, who had signed it, and whom it trusts.
    fn add<'h>(&mut self, shown: impl Iterator<Item = (&'h u64, &'h usize, &'h String, &'h Vec<String>)>) {
        let mut authorities: BTreeMap<&str, Authority> = BTreeMap::new();
        let mut workloads = BTreeSet::new();
        // Those that a workload began with were not introduced under our eyes.
        let mut old = BTreeSet::new();
        for (at_us, workload, issuer, bundle) in shown {
            let is_first = workloads.insert(*workload);
            for authority in bundle {
                authorities.entry(authority).or_default().known_at.entry(*workload).or_insert(*at_us);
                if is_first {
                    old.insert(authority.as_str());
                }
            }
            authorities.entry(issuer).or_default().used_at.get_or_insert(*at_us);
        }
        for (name, authority) in authorities.into_iter().filter(|(name, _)| !old.contains(name)) {
            let Some(used_at) = authority.used_at else { continue };
            match authority.known_at.values().max() {
                Some(known_at) if authority.known_at.len() == workloads.len() => {
                    self.milliseconds.push((used_at as i64 - *known_at as i64) / 1_000);
                }
                _ => self.unknown.push(name.to_owned()),
            }
        }
    }

    pub(super) fn least(&self) -> Option<i64> {
        self.milliseconds.iter().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(at_ms: u64, workload: usize, issuer: &str, bundle: &[&str]) -> Line {
        let authorities = bundle.iter().map(|name| (*name).to_owned()).collect();
        Line::Shown { at_us: at_ms * 1_000, workload, issuer: issuer.to_owned(), authorities }
    }

    fn begun() -> [Line; 2] {
        [shown(1, 0, "a", &["a"]), shown(2, 1, "a", &["a"])]
    }

    #[test]
    fn it_counts_from_the_last_to_know_to_the_first_use() {
        let rotated = [
            shown(100, 0, "a", &["a", "b"]),
            shown(150, 1, "a", &["a", "b"]),
            shown(400, 1, "b", &["a", "b"]),
            shown(500, 0, "b", &["a", "b"]),
        ];
        let slack = Slack::of(&[&begun()[..], &rotated].concat());
        assert_eq!((slack.milliseconds, slack.unknown.len()), (vec![250], 0));
    }

    #[test]
    fn tokens_count_for_themselves() {
        let token = |at_ms: u64, workload, issuer: &str, keys: &[&str]| {
            let authorities = keys.iter().map(|key| (*key).to_owned()).collect();
            Line::ShownToken { at_us: at_ms * 1_000, workload, issuer: issuer.to_owned(), authorities }
        };
        let tokens = [
            token(3, 0, "j", &["j"]),
            token(4, 1, "j", &["j"]),
            token(5, 0, "j", &["j", "k"]),
            token(6, 1, "k", &["j", "k"]),
        ];
        let slack = Slack::of(&[&begun()[..], &tokens].concat());
        assert_eq!((slack.milliseconds, slack.unknown.len()), (vec![0], 0));
    }

    #[test]
    fn a_use_before_everybody_knows_is_below_zero() {
        let rotated = [shown(100, 0, "b", &["a", "b"]), shown(150, 1, "b", &["a", "b"])];
        assert_eq!(Slack::of(&[&begun()[..], &rotated].concat()).least(), Some(-50));
    }

    #[test]
    fn who_never_knows_is_named() {
        let rotated = [shown(100, 0, "b", &["a", "b"])];
        assert_eq!(Slack::of(&[&begun()[..], &rotated].concat()).unknown, ["b"]);
        let at_once = Slack::of(&begun());
        assert_eq!((at_once.least(), at_once.unknown.len()), (None, 0));
    }
}
