//! What fuzzing a target amounted to.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub executions: u64,
    /// Of a processor.
    pub cpu_ms: u64,
    /// Promises that were broken, panics among them.
    pub findings: u64,
    /// The largest of any slice.
    pub peak_rss_mib: u64,
}

impl Figures {
    pub const HEAD: &'static str =
        "| target | executions | processor seconds | findings | peak RSS, MiB |\n|---|---|---|---|---|";

    pub fn row(&self, name: &str) -> String {
        let Self { executions, cpu_ms, findings, peak_rss_mib } = self;
        format!("| {name} | {executions} | {} | {findings} | {peak_rss_mib} |", cpu_ms / 1000)
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.executions += more.executions;
        self.cpu_ms += more.cpu_ms;
        self.findings += more.findings;
        self.peak_rss_mib = self.peak_rss_mib.max(more.peak_rss_mib);
    }
}
