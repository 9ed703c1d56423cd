//! SPIRE's "call counter": how often, with what result, and how long.

use std::time::Instant;

use metrics::Label;

use super::table::calls_help;

/// Started before the call; [`done`](Self::done) records `<name>{status}` and the summary `<name>.elapsed_time{status}`
/// in milliseconds.
#[derive(Debug)]
#[must_use = "nothing is recorded before `done`"]
pub struct CallTimer {
    name: String,
    labels: Vec<Label>,
    started: Instant,
}

impl CallTimer {
    /// `name` without the program's prefix.
    pub fn start(name: impl Into<String>) -> Self {
        Self { name: name.into(), labels: Vec::new(), started: Instant::now() }
    }

    /// Explains `name`, which no table has, as the calls of `what`, and shows it as [`Self::declare`] does.
    pub fn declare_calls_of(name: &str, what: &str) {
        for (name, help) in calls_help(name, what) {
            metrics::describe_counter!(name, help);
        }
        Self::declare(name);
    }

    /// Shows `name` at 0 before its first call, so that a rate knows that call too (Prometheus' advice).
    pub fn declare(name: &str) {
        let labels = vec![Label::from_static_parts("status", "OK")];
        metrics::counter!(name.to_owned(), labels.clone()).increment(0);
        let _ = metrics::histogram!(format!("{name}.elapsed_time"), labels);
    }

    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(name, value.into()));
        self
    }

    /// `status` is a gRPC code's name in Go's spelling, `OK` for success.
    pub fn done(mut self, status: &'static str) {
        self.labels.push(Label::from_static_parts("status", status));
        let elapsed_ms = self.started.elapsed().as_secs_f64() * 1000.0;
        metrics::counter!(self.name.clone(), self.labels.clone()).increment(1);
        metrics::histogram!(format!("{}.elapsed_time", self.name), self.labels).record(elapsed_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{MetricSettings, Metrics};

    #[test]
    fn a_call_gives_a_counter_and_a_summary() {
        let metrics = Metrics::new(&MetricSettings { prefix: "spire_agent".into(), ..Default::default() }).unwrap();
        metrics::with_local_recorder(&metrics, || {
            CallTimer::start("node_attestor_new_svid").label("attestor", "join_token").done("OK");
            CallTimer::start("node_attestor_new_svid").label("attestor", "join_token").done("Unavailable");
        });
        let text = metrics.render();
        for line in [
            "# TYPE spire_agent_node_attestor_new_svid counter",
            "spire_agent_node_attestor_new_svid{attestor=\"join_token\",status=\"OK\"} 1",
            "# TYPE spire_agent_node_attestor_new_svid_elapsed_time summary",
            "spire_agent_node_attestor_new_svid_elapsed_time_count{attestor=\"join_token\",status=\"Unavailable\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(text.contains("_elapsed_time{attestor=\"join_token\",status=\"OK\",quantile=\"0.99\"}"), "{text}");
    }

    #[test]
    fn calls_of_methods_are_explained() {
        let metrics = Metrics::new(&MetricSettings { prefix: "t".into(), ..Default::default() }).unwrap();
        metrics::with_local_recorder(&metrics, || CallTimer::declare_calls_of("rpc.a.b", "/a/B"));
        let text = metrics.render();
        for line in [
            "# HELP t_rpc_a_b calls that ended, by the name of the gRPC code: /a/B",
            "# HELP t_rpc_a_b_elapsed_time milliseconds that calls took: /a/B",
            "t_rpc_a_b{status=\"OK\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
