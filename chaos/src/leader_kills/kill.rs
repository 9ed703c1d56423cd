//! The faults.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use steeple_testkit::{Cluster, Dice};
use tokio::time::{sleep, timeout};

use super::history::{Fault, Recorder};
use crate::faults::SyncLog;

/// An election with everything that can go wrong in it; beyond it there is nothing to measure any more.
const LED_MAX: Duration = Duration::from_secs(30);
/// Between two faults the cluster is left alone for so long at least, and for as long again at most.
const REST_MS: u64 = 500;

/// What the faults are done to.
pub(super) struct Faults<'c> {
    pub(super) cluster: &'c mut Cluster,
    pub(super) recorder: Arc<Recorder>,
    pub(super) dice: Dice,
}

impl Faults<'_> {
    /// Kills the leader, waits for another one and for an acknowledged write, brings the killed replica back, and waits
    /// until it has caught up.
    pub(super) async fn kill_leader(&mut self) -> anyhow::Result<()> {
        self.rest().await;
        let killed = self.cluster.leader().await?;
        self.recorder.fault(Fault::Killed { replica: killed })?;
        self.cluster.servers[killed].kill9().await?;
        let leader = self.cluster.leader().await?;
        self.recorder.fault(Fault::Led { replica: leader })?;
        self.acknowledgement().await?;
        let server = &mut self.cluster.servers[killed];
        server.launch()?;
        server.ready().await?;
        self.cluster.caught_up(killed).await?;
        self.recorder.fault(Fault::CaughtUp { replica: killed })
    }

    /// Kills all replicas at the instant when a client was told that its write is done, drops what their logs had not
    /// synced, and starts them again.
    pub(super) async fn cut_power(&mut self, syncs: &SyncLog) -> anyhow::Result<()> {
        self.rest().await;
        self.acknowledgement().await?;
        for server in &self.cluster.servers {
            server.process().context("a replica is down")?.send_kill9();
        }
        let mut dropped_bytes = 0;
        for server in &mut self.cluster.servers {
            server.kill9().await?;
            dropped_bytes += syncs.drop_unsynced(&server.data_dir())?;
        }
        self.recorder.fault(Fault::PowerCut { dropped_bytes })?;
        for server in &mut self.cluster.servers {
            server.launch()?;
        }
        for server in &mut self.cluster.servers {
            server.ready().await?;
        }
        self.acknowledgement().await?;
        self.recorder.fault(Fault::PowerBack)
    }

    async fn rest(&mut self) {
        let pause = REST_MS + self.dice.below(REST_MS);
        sleep(Duration::from_millis(pause)).await;
    }

    async fn acknowledgement(&self) -> anyhow::Result<()> {
        let next = self.recorder.acknowledgement();
        timeout(LED_MAX, next).await.context("no client's write is acknowledged any more")
    }
}
