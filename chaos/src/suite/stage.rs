//! Where a fault finds the cluster, and how one sees what the cluster makes of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_testkit::{Dice, until};
use tokio::time::{Instant, sleep};

use super::fault::Fault;
use super::site::{Site, name};
use crate::register::Recorder;

/// An election under a fault, on a busy machine.
pub(super) const LED_MAX: Duration = Duration::from_secs(30);
/// After a fault is undone: one leader, all replicas caught up, writes acknowledged.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// Between two faults the cluster is left alone for so long at least, and for as long again at most.
const REST_MS: u64 = 300;
/// So many writes say that the cluster works.
pub(super) const WRITES: u64 = 10;

pub(super) struct Stage<'s> {
    pub(super) site: &'s mut Site,
    pub(super) recorder: Arc<Recorder>,
    pub(super) dice: Dice,
    /// How long a fault lasts that has no end of its own.
    pub(super) hold: Duration,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Led {
    pub(super) position: usize,
    pub(super) node_id: u64,
    pub(super) term: u64,
    pub(super) applied: u64,
}

impl Stage<'_> {
    /// From a cluster that works to one that works again.
    pub(super) async fn undergo(&mut self, fault: Fault) -> anyhow::Result<()> {
        sleep(Duration::from_millis(REST_MS + self.dice.below(REST_MS))).await;
        self.recorder.fault(fault.name())?;
        let evidence = fault.inflict(self).await.with_context(|| format!("the fault {}", fault.name()))?;
        let healed = self.settle().await.with_context(|| format!("after the fault {}", fault.name()))?;
        let evidence = format!("{evidence}; settled after {} ms", healed.as_millis());
        self.recorder.healed(fault.name(), &evidence)
    }

    /// Undoes what is undone without knowing what was done, and waits until the cluster works.
    pub(super) async fn settle(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.site.network.heal();
        if let Some(namespaces) = &self.site.namespaces {
            namespaces.plug_in_all()?;
        }
        for position in 0..self.site.size() {
            self.site.clocks[position].set_right()?;
            self.site.disks[position].mend()?;
            match self.site.server(position).process() {
                Some(process) => process.resume(),
                None => self.site.server(position).launch()?,
            }
        }
        for position in 0..self.site.size() {
            self.site.server(position).ready().await?;
        }
        self.writes(WRITES, SETTLED_MAX).await?;
        for position in 0..self.site.size() {
            self.site.cluster.caught_up(position).await?;
        }
        ensure!(began.elapsed() <= SETTLED_MAX, "it took {:?} until all was well", began.elapsed());
        Ok(began.elapsed())
    }

    /// Waits until `count` more writes are acknowledged.
    pub(super) async fn writes(&self, count: u64, limit: Duration) -> anyhow::Result<()> {
        let acknowledged = self.recorder.acknowledgements(count, limit).await;
        ensure!(acknowledged, "fewer than {count} writes were acknowledged in {} s", limit.as_secs());
        Ok(())
    }

    /// Lets the fault last while writes go on.
    pub(super) async fn hold(&self) -> anyhow::Result<()> {
        let (began, goes_on) = (Instant::now(), self.writes(WRITES, LED_MAX));
        goes_on.await?;
        sleep(self.hold.saturating_sub(began.elapsed())).await;
        Ok(())
    }

    /// Who leads, by the account of a replica that can be asked.
    pub(super) async fn led(&self) -> anyhow::Result<Led> {
        self.led_beyond(0, None).await
    }

    /// Another replica than `before` leads, in a later term. `before` is not asked.
    pub(super) async fn led_by_another(&self, before: Led) -> anyhow::Result<Led> {
        self.led_beyond(before.term, Some(before.position)).await
    }

    async fn led_beyond(&self, term: u64, not_asked: Option<usize>) -> anyhow::Result<Led> {
        until("a replica leads", LED_MAX, async || {
            let mut found: Option<Led> = None;
            for (position, server) in self.site.cluster.servers.iter().enumerate() {
                if server.process().is_none() || Some(position) == not_asked {
                    continue;
                }
                let Ok(status) = server.admin().status().await else { continue };
                let leads = status.leader_id != 0 && status.leader_id == status.node_id;
                if leads && status.term > term && found.is_none_or(|led| led.term < status.term) {
                    let (node_id, term, applied) = (status.node_id, status.term, status.applied_index);
                    found = Some(Led { position, node_id, term, applied });
                }
            }
            found.with_context(|| format!("nobody leads beyond term {term}"))
        })
        .await
    }

    /// A replica that does not lead, drawn.
    pub(super) async fn follower(&mut self) -> anyhow::Result<usize> {
        let leader = self.led().await?.position;
        let others: Vec<usize> = (0..self.site.size()).filter(|position| *position != leader).collect();
        Ok(others[self.dice.below(others.len() as u64) as usize])
    }

    /// Waits until a replica's log says it.
    pub(super) async fn says(&self, position: usize, mark: u64, words: &str) -> anyhow::Result<String> {
        until("a line in a log", LED_MAX, async || self.site.log_line(position, mark, words)).await
    }
}

/// One leader followed another.
pub(super) fn followed(before: Led, after: Led) -> String {
    let (one, other) = (name(before.position), name(after.position));
    format!("{one} led in term {}, {other} in term {}", before.term, after.term)
}
