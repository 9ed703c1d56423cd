//! What the driver of a run and its clients share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::clock::Time;
use crate::ledger::Ledger;
use crate::node::Node;
use crate::{Finding, Plan};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The servers form a cluster.
    Founding,
    Load,
    /// Clients have ended, and so have faults.
    Healing,
}

pub struct World {
    pub plan: Plan,
    pub time: Arc<Time>,
    pub nodes: Vec<Arc<Node>>,
    pub phase: watch::Sender<Phase>,
    elapsed: Mutex<Duration>,
    ledger: Mutex<Ledger>,
    finding: Mutex<Option<Finding>>,
    healed: AtomicBool,
}

impl World {
    pub fn new(plan: &Plan, dir: &Path) -> anyhow::Result<Arc<Self>> {
        let time = Arc::new(Time::default());
        time.set(Duration::ZERO);
        let nodes = (0..plan.servers).map(|number| Node::new(number, plan, &time, dir).map(Arc::new));
        Ok(Arc::new(Self {
            plan: plan.clone(),
            nodes: nodes.collect::<anyhow::Result<_>>()?,
            time,
            phase: watch::Sender::new(Phase::Founding),
            elapsed: Mutex::default(),
            ledger: Mutex::default(),
            finding: Mutex::default(),
            healed: AtomicBool::new(false),
        }))
    }

    /// The simulation has reached this instant.
    pub fn reach(&self, elapsed: Duration) {
        *self.elapsed.lock() = elapsed;
        self.time.set(elapsed);
    }

    /// Simulated, since the beginning.
    pub fn elapsed(&self) -> Duration {
        *self.elapsed.lock()
    }

    /// Never held across an `.await`.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    pub fn is_loaded(&self) -> bool {
        *self.phase.borrow() == Phase::Load
    }

    pub async fn until(&self, phase: Phase) {
        // The sender lives as long as the world.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// After the faults a write was acknowledged.
    pub fn heals(&self) {
        self.healed.store(true, Relaxed);
    }

    pub fn is_healed(&self) -> bool {
        self.healed.load(Relaxed)
    }

    /// The first one counts.
    pub fn find(&self, rule: &'static str, outcome: Result<(), String>) {
        if let Err(text) = outcome {
            let finding = Finding { at: self.elapsed(), rule, text };
            self.finding.lock().get_or_insert(finding);
        }
    }

    pub fn finding(&self) -> Option<Finding> {
        self.finding.lock().clone()
    }
}
