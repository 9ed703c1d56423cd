//! What goes wrong, and how it is put right again.

use std::time::Duration;

use serde::Serialize;

/// Servers and clients are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The power goes, and what was not synced with it.
    PowerCut { servers: Vec<usize> },
    /// The disk is empty when the server comes back: a new node takes the place of the old one.
    DiskReplaced { server: usize },
    /// Nothing gets through between these and the other servers. Clients reach all of them.
    Split { servers: Vec<usize> },
    /// What one server says does not reach the other.
    Deaf { from: usize, to: usize },
    /// Messages of a server wait until the fault ends, and then arrive all at once.
    Held { server: usize },
    /// A wall clock is wrong.
    Clock { server: usize, ahead_ms: i64 },
    /// A client reaches no server.
    ClientCutOff { client: usize },
}

/// One fault of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scheduled {
    /// Since the load began.
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

impl Fault {
    /// For the counters that show that every kind happened.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PowerCut { .. } => "power_cut",
            Self::DiskReplaced { .. } => "disk_replaced",
            Self::Split { .. } => "split",
            Self::Deaf { .. } => "deaf",
            Self::Held { .. } => "held",
            Self::Clock { .. } => "clock",
            Self::ClientCutOff { .. } => "client_cut_off",
        }
    }
}
