//! Histograms that are counted elsewhere: the registry takes samples one by one, and cannot be given their sums.

use std::fmt::Write as _;

/// Samples by their size, since the process started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Each upper bound, ascending, with the samples that are no larger than it and larger than the one before.
    pub buckets: Vec<(f64, u64)>,
    /// Samples that are larger than all bounds.
    pub beyond: u64,
    pub sum: f64,
}

impl Tally {
    /// Without a sample.
    pub fn of(bounds: &[f64]) -> Self {
        Self { buckets: bounds.iter().map(|bound| (*bound, 0)).collect(), beyond: 0, sum: 0.0 }
    }

    pub fn add(&mut self, sample: f64) {
        let at = self.buckets.partition_point(|(bound, _)| *bound < sample);
        *self.buckets.get_mut(at).map_or(&mut self.beyond, |(_, samples)| samples) += 1;
        self.sum += sample;
    }

    /// The Prometheus text: each bucket counts all samples that are no larger than its bound.
    pub(super) fn render(&self, name: &str, labels: &[(String, String)]) -> String {
        let common: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let braced =
            |labels: &[String]| if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let mut text = format!("# TYPE {name} histogram\n");
        let mut line = |suffix: &str, labels: &[String], value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}_{suffix}{} {value}", braced(labels));
        };
        let mut count = 0;
        let bounds = self.buckets.iter().map(|(bound, samples)| (bound.to_string(), *samples));
        for (bound, samples) in bounds.chain([("+Inf".to_owned(), self.beyond)]) {
            count += samples;
            line("bucket", &[common.as_slice(), &[format!("le=\"{bound}\"")]].concat(), &count);
        }
        line("sum", &common, &self.sum);
        line("count", &common, &count);
        text + "\n"
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_prometheus_wants_a_histogram() {
        let tally = Tally { buckets: vec![(0.00025, 2), (0.5, 1), (2.0, 0)], beyond: 1, sum: 9.25 };
        let labels = [("host".to_owned(), "a \"b\"\\".to_owned())];
        let expected = r#"# TYPE steeple_x_seconds histogram
steeple_x_seconds_bucket{host="a \"b\"\\",le="0.00025"} 2
steeple_x_seconds_bucket{host="a \"b\"\\",le="0.5"} 3
steeple_x_seconds_bucket{host="a \"b\"\\",le="2"} 3
steeple_x_seconds_bucket{host="a \"b\"\\",le="+Inf"} 4
steeple_x_seconds_sum{host="a \"b\"\\"} 9.25
steeple_x_seconds_count{host="a \"b\"\\"} 4

"#;
        assert_eq!(tally.render("steeple_x_seconds", &labels), expected);
        assert!(tally.render("x", &[]).ends_with("x_bucket{le=\"+Inf\"} 4\nx_sum 9.25\nx_count 4\n\n"));
    }
}
