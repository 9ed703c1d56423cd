//! Which metrics and labels are recorded (`AllowedPrefixes` and the like), as go-metrics decides it.

use std::collections::BTreeSet;

/// Everything, until the configuration says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// With the dot as separator, and whether what begins with it is recorded.
    prefixes: Vec<(String, bool)>,
    allowed_labels: BTreeSet<String>,
    blocked_labels: BTreeSet<String>,
}

impl Filter {
    pub fn of_prefixes(allowed: &[String], blocked: &[String]) -> Self {
        let marked =
            |prefixes: &[String], allowed| prefixes.iter().map(move |prefix| (prefix.clone(), allowed)).collect();
        let [allowed, blocked]: [Vec<_>; 2] = [marked(allowed, true), marked(blocked, false)];
        Self { prefixes: [allowed, blocked].concat(), ..Self::default() }
    }

    /// No label is allowed by name: all are.
    pub fn with_labels(mut self, allowed: &[String], blocked: &[String]) -> Self {
        self.allowed_labels = allowed.iter().cloned().collect();
        self.blocked_labels = blocked.iter().cloned().collect();
        self
    }

    /// The longest prefix that fits decides; of two equal ones the blocking one. Whatever no prefix fits is recorded.
    pub(super) fn admits(&self, key: &str) -> bool {
        let fitting = self.prefixes.iter().filter(|(prefix, _)| key.starts_with(prefix.as_str()));
        fitting.max_by_key(|(prefix, allowed)| (prefix.len(), !allowed)).is_none_or(|(_, allowed)| *allowed)
    }

    pub(super) fn admits_label(&self, name: &str) -> bool {
        !self.blocked_labels.contains(name) && (self.allowed_labels.is_empty() || self.allowed_labels.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_longest_prefix_decides() {
        let filter = Filter::of_prefixes(&texts(&["s.rpc.agent", "s.x"]), &texts(&["s.rpc", "s.x"]));
        assert!(filter.admits("s.started"), "what no prefix fits");
        assert!(!filter.admits("s.rpc.entry.v1"));
        assert!(filter.admits("s.rpc.agent.v1"));
        assert!(!filter.admits("s.x"), "block wins");
        assert!(Filter::default().admits("s.rpc"));
    }

    #[test]
    fn labels_are_dropped_by_name() {
        let filter = Filter::default().with_labels(&texts(&["status", "host"]), &texts(&["host"]));
        let admitted = ["status", "host", "other"].map(|name| filter.admits_label(name));
        assert_eq!(admitted, [true, false, false]);
        assert!(Filter::default().admits_label("anything"));
    }
}
