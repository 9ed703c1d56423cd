//! How a run ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Simulated time since the cluster was founded.
    pub at: Duration,
    /// The name of what is violated.
    pub rule: &'static str,
    pub text: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    pub seed: u64,
    /// The first one ends a run.
    pub finding: Option<Finding>,
    /// Simulated.
    pub elapsed: Duration,
    /// Faults that were inflicted, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What clients did and what came of it.
    pub calls: BTreeMap<&'static str, u64>,
    /// Terms, authorities activated, bytes lost.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Verdict {
    pub fn passed(&self) -> bool {
        self.finding.is_none()
    }
}
