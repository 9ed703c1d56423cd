//! Several replicas that are one server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use steeple_api::steeple::server::StatusResponse;

use crate::{Admin, Binaries, ClusterRole, ExtraLines, Server, ServerSpec, until};

/// A few elections on a busy machine.
const LEADER_MAX: Duration = Duration::from_secs(60);
/// A replica that was away for minutes replays or installs a snapshot.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(90);

/// Replicas by position; a killed one keeps its place.
#[derive(Debug)]
pub struct Cluster {
    pub servers: Vec<Server>,
}

/// What a replica's state is at a log index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAt {
    pub applied_index: u64,
    pub state_hash: String,
}

/// What each replica says of its state once all of them are at one log index, by position. Without any load the leader
/// still writes now and then, so that replicas asked one after the other may differ by an index.
pub async fn states_at_one_index(replicas: &[Admin]) -> anyhow::Result<Vec<StateAt>> {
    at_one_index(async || {
        let mut states = Vec::with_capacity(replicas.len());
        for replica in replicas {
            states.push(StateAt::of(&replica.status().await?));
        }
        Ok(states)
    })
    .await
}

async fn at_one_index(mut ask: impl AsyncFnMut() -> anyhow::Result<Vec<StateAt>>) -> anyhow::Result<Vec<StateAt>> {
    until("all replicas are at one index", CAUGHT_UP_MAX, async || {
        let states = ask().await?;
        let index = states.first().map(|state| state.applied_index);
        ensure!(states.iter().all(|state| Some(state.applied_index) == index), "{states:?}");
        Ok::<_, anyhow::Error>(states)
    })
    .await
}

impl Cluster {
    /// Founds a cluster with the first replica and lets the others join, one after the other. `template` gives all
    /// that the replicas have in common; its `name` and `cluster` are not used.
    pub async fn start(binaries: &Binaries, dir: &Path, size: usize, template: &ServerSpec) -> anyhow::Result<Self> {
        Self::start_with(binaries, dir, size, template, &ExtraLines::default()).await
    }

    /// As [`Cluster::start`], with more in the configuration of each.
    pub async fn start_with(
        binaries: &Binaries,
        dir: &Path,
        size: usize,
        template: &ServerSpec,
        extra: &ExtraLines,
    ) -> anyhow::Result<Self> {
        let sealing_key_path = dir.join("sealing-key");
        let mut cluster = Self { servers: Vec::with_capacity(size) };
        for number in 1..=size {
            let join = cluster.servers.iter().map(Server::peer_address).collect();
            let role = ClusterRole { join, sealing_key_path: sealing_key_path.clone() };
            let spec = ServerSpec { name: format!("server-{number}"), cluster: Some(role), ..template.clone() };
            cluster.servers.push(Server::start_with(binaries, dir, &spec, extra)?);
            let last = cluster.servers.last_mut().context("a cluster has a replica")?;
            last.ready().await?;
        }
        cluster.all_vote().await?;
        Ok(cluster)
    }

    /// Waits until every replica is a voter, by the account of each.
    pub async fn all_vote(&self) -> anyhow::Result<()> {
        let size = self.servers.len();
        until("all replicas vote", CAUGHT_UP_MAX, async || {
            for server in &self.servers {
                let status = server.admin().status().await.with_context(|| server.name().to_owned())?;
                let voters = status.members.iter().filter(|member| member.voter).count();
                ensure!(voters == size, "{} sees {voters} voters", server.name());
            }
            Ok::<_, anyhow::Error>(())
        })
        .await
    }

    /// The position of the replica that leads, by its own account.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        until("a replica leads", LEADER_MAX, async || self.leads_now().await).await
    }

    /// The position of a running replica that does not lead.
    pub async fn follower(&self) -> anyhow::Result<usize> {
        let leader = self.leader().await?;
        let running = |position: &usize| self.servers[*position].process().is_some();
        let mut others = (0..self.servers.len()).filter(|position| *position != leader).filter(running);
        others.next().context("no follower is running")
    }

    /// Waits until the replica at `position` has applied what the leader has applied by now.
    pub async fn caught_up(&self, position: usize) -> anyhow::Result<u64> {
        let goal = self.servers[self.leader().await?].admin().status().await?.applied_index;
        let server = &self.servers[position];
        until("the replica caught up", CAUGHT_UP_MAX, async || {
            let applied = server.admin().status().await?.applied_index;
            ensure!(applied >= goal, "{} applied {applied} of {goal}", server.name());
            Ok::<_, anyhow::Error>(applied)
        })
        .await
        .map_err(|error| server.failure(&format!("{error:#}")))
    }

    /// Waits until all replicas are at one log index, and demands one hash there. Answers by position.
    pub async fn converged(&self) -> anyhow::Result<Vec<StateAt>> {
        let admins: Vec<Admin> = self.servers.iter().map(|server| server.admin().clone()).collect();
        let states = states_at_one_index(&admins).await?;
        ensure!(
            states.windows(2).all(|pair| pair[0] == pair[1]),
            "replicas have different states at one index: {states:?}"
        );
        Ok(states)
    }

    /// Admin sockets by position.
    pub fn admin_sockets(&self) -> Vec<PathBuf> {
        self.servers.iter().map(Server::admin_socket).collect()
    }

    /// Addresses for agents.
    pub fn api_addresses(&self) -> Vec<String> {
        self.servers.iter().map(Server::api_address).collect()
    }

    /// Orderly, the leader last.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let leader = self.leads_now().await.ok();
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        order.sort_by_key(|position| Some(*position) == leader);
        for position in order {
            self.servers[position].stop().await?;
        }
        Ok(())
    }

    async fn leads_now(&self) -> anyhow::Result<usize> {
        for (position, server) in self.servers.iter().enumerate() {
            if server.process().is_none() {
                continue;
            }
            if let Ok(status) = server.admin().status().await
                && leads(&status)
            {
                return Ok(position);
            }
        }
        bail!("no running replica says that it leads")
    }
}

impl StateAt {
    fn of(status: &StatusResponse) -> Self {
        Self { applied_index: status.applied_index, state_hash: status.state_hash.clone() }
    }
}

fn leads(status: &StatusResponse) -> bool {
    status.leader_id != 0 && status.leader_id == status.node_id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(indexes: [u64; 3]) -> Vec<StateAt> {
        indexes.map(|applied_index| StateAt { applied_index, state_hash: format!("at {applied_index}") }).to_vec()
    }

    #[tokio::test]
    async fn a_write_between_two_questions_is_no_difference() {
        let mut answers = [states([5, 5, 6]), states([6, 6, 6])].into_iter();
        let told = at_one_index(async || answers.next().context("asked too often")).await;
        assert_eq!(told.ok(), Some(states([6, 6, 6])));
    }
}
