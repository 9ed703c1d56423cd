//! What a run found out: readings, gates, how much of the machine was used; as a table and as JSON.

mod compare;
mod progress;
mod reading;
mod table;
mod window;

use std::time::SystemTime;

use serde::Serialize;

pub use compare::{Comparison, Side};
pub use progress::Progress;
pub use reading::{Better, Reading};
pub use table::print_report;
pub use window::{Usage, Window};

/// One run of one scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: String,
    /// What prints it again.
    pub command: String,
    /// The program or the address that was driven.
    pub target: String,
    /// Unix seconds at the end.
    pub ended_at: u64,
    pub machine_cores: usize,
    pub readings: Vec<Reading>,
    pub gates: Vec<Gate>,
    /// Of each measured stretch.
    pub windows: Vec<Usage>,
}

/// A promise that has to be kept for the readings to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gate {
    pub name: String,
    pub passed: bool,
    pub detail: String,
}

impl Gate {
    pub fn new(name: impl Into<String>, passed: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), passed, detail: detail.into() }
    }
}

impl Report {
    pub fn new(scenario: &str, command: String, target: String) -> Self {
        let machine_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let ended_at = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let (readings, gates, windows) = (Vec::new(), Vec::new(), Vec::new());
        Self { scenario: scenario.to_owned(), command, target, ended_at, machine_cores, readings, gates, windows }
    }

    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed)
    }
}
