//! `# HELP` lines, each before the `# TYPE` line of its metric: one place for what is recorded, what is computed at a
//! scrape, and histograms that are counted elsewhere.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::Metric;
use super::naming::metric_name;
use super::series::full_name;

/// By the name that Prometheus sees. As many as there are metrics: descriptions come from tables and lists of methods.
#[derive(Default)]
pub(super) struct Helps(RwLock<HashMap<String, String>>);

impl Helps {
    /// Those of `table`, under `prefix`.
    pub(super) fn add_all(&self, table: &[Metric], prefix: &str) {
        for (name, help) in table.iter().flat_map(Metric::helps) {
            self.add(&name, prefix, &help);
        }
    }

    pub(super) fn add(&self, name: &str, prefix: &str, help: &str) {
        let escaped = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.0.write().insert(metric_name(&full_name(name, prefix)), escaped);
    }

    /// `text` with a line before each metric that has a description.
    pub(super) fn explain(&self, text: &str) -> String {
        let helps = self.0.read();
        let mut explained = String::with_capacity(2 * text.len());
        for line in text.split_inclusive('\n') {
            let named = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next());
            if let Some((name, help)) = named.and_then(|name| Some((name, helps.get(name)?))) {
                explained.extend(["# HELP ", name, " ", help, "\n"]);
            }
            explained.push_str(line);
        }
        explained
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Kind;

    #[test]
    fn each_metric_that_is_known_is_explained() {
        let helps = Helps::default();
        let calls = Metric { name: "svid.rotate", kind: Kind::Calls, labels: &["status"], help: "renewal" };
        helps.add_all(&[calls], "p");
        helps.add("steeple_x", "p", "back\\slash\nline");
        let text =
            "# TYPE p_svid_rotate counter\np_svid_rotate 1\n\n# TYPE steeple_x gauge\nsteeple_x 2\n# TYPE y gauge\n";
        let expected = "\
            # HELP p_svid_rotate calls that ended, by the name of the gRPC code: renewal\n\
            # TYPE p_svid_rotate counter\np_svid_rotate 1\n\n\
            # HELP steeple_x back\\\\slash\\nline\n# TYPE steeple_x gauge\nsteeple_x 2\n# TYPE y gauge\n";
        assert_eq!(helps.explain(text), expected);
    }
}
