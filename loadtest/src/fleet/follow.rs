//! How an agent keeps up with its server. A scenario sees what arrives, however it arrives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use steeple_api::types;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;

use super::{Agent, poll, push};
use crate::load::Pace;
use crate::report::Progress;

/// By which protocol agents learn what changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// SyncAuthorizedEntries and GetBundle every five seconds, as stock agents do.
    #[default]
    Poll,
    /// The push stream of steeple-agent, which only steeple-server has.
    Push,
}

/// What an agent holds of its entries: revision and creation, by id.
pub(crate) type Known = HashMap<String, (i64, i64)>;

/// News for an agent.
pub(crate) struct Change {
    /// Entries that are new or were changed.
    pub(crate) changed: Vec<types::Entry>,
    /// How many it has now.
    pub(crate) entries: usize,
    pub(crate) bundle: types::Bundle,
}

/// What a scenario does when agents hear from the server. Both are called between two syncs of the agent.
pub(crate) trait Observer: Send + std::marker::Sync + 'static {
    fn synced(&self, agent: &Agent, change: Change) -> impl Future<Output = ()> + Send;

    fn failed(&self, _agent: &Agent, _status: &Status) {}
}

/// Agents that follow until this is dropped.
pub(crate) struct Followers {
    /// Those that have synced at least once.
    synced: watch::Receiver<usize>,
    count: usize,
    _tasks: JoinSet<()>,
}

impl Followers {
    pub(crate) fn start<O: Observer>(
        agents: &[Arc<Agent>],
        sync: Sync,
        observer: &Arc<O>,
        pace: impl Fn(usize) -> Pace,
    ) -> Self {
        let (first, synced) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for agent in agents {
            let (agent, observer, pace) = (Arc::clone(agent), Arc::clone(observer), pace(agent.number));
            match sync {
                Sync::Poll => tasks.spawn(poll::follow(agent, observer, pace, first.clone())),
                Sync::Push => tasks.spawn(push::follow(agent, observer, pace, first.clone())),
            };
        }
        Self { synced, count: agents.len(), _tasks: tasks }
    }

    /// Waits until every agent has heard from the server.
    pub(crate) async fn all_synced(&mut self, progress: &Progress) -> anyhow::Result<()> {
        progress.step("letting every agent sync for the first time", 0);
        let all = self.synced.wait_for(|synced| *synced == self.count);
        timeout(FIRST_SYNC_MAX, all).await.context("agents do not sync")?.context("agents have ended")?;
        Ok(())
    }
}

/// An interval to spread them, and a slow server.
const FIRST_SYNC_MAX: Duration = Duration::from_secs(120);
