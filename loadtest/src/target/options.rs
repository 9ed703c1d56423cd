//! Which server is driven, and what all scenarios have in common.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::fleet::{AGENTS_MAX, Group, Sync};

/// Options of every scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Start this server for the run, with a configuration of its own on loopback: a steeple-server or a spire-server.
    /// By default the steeple-server beside this program.
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "address")]
    pub program: Option<PathBuf>,
    /// Start so many replicas as one cluster (steeple-server only).
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    /// Drive a server that runs already: its API for agents, `127.0.0.1:8081`. Once for each replica.
    #[arg(long, global = true, value_name = "HOST:PORT", requires_all = ["admin_socket", "pid", "nodes_ca"])]
    pub address: Vec<String>,
    /// The admin socket of a server that runs already, in the order of --address.
    #[arg(long, global = true, value_name = "PATH")]
    pub admin_socket: Vec<PathBuf>,
    /// The process of a server that runs already: its CPU time and memory are what is measured.
    #[arg(long, global = true)]
    pub pid: Vec<i32>,
    /// Directory of the nodes' certificate authority, made by `loadtest nodes-ca DIR`, whose root the x509pop attestor
    /// of a server that runs already trusts.
    #[arg(long, global = true, value_name = "DIR")]
    pub nodes_ca: Option<PathBuf>,
    /// Simulated agents, at most 10,000; each scenario has a default.
    #[arg(long, global = true)]
    pub agents: Option<usize>,
    /// How long each measured stretch lasts; each scenario has a default.
    #[arg(long, global = true)]
    pub seconds: Option<u16>,
    /// How agents learn what changed.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub sync: Sync,
    /// The pause between two polls of an agent: `sync_interval` of SPIRE's agents, whose jitter is a tenth of it.
    #[arg(long, global = true, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..=600_000))]
    pub sync_interval_ms: u32,
    /// The key exchange of the agents' TLS connections.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub group: Group,
    /// Arrivals, choices and jitter follow from it.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
}

impl Options {
    pub(crate) fn agents(&self, default: usize) -> anyhow::Result<usize> {
        let agents = self.agents.unwrap_or(default);
        ensure!((1..=AGENTS_MAX).contains(&agents), "--agents is from 1 to {AGENTS_MAX}");
        Ok(agents)
    }

    pub(crate) fn sync_interval(&self) -> Duration {
        Duration::from_millis(self.sync_interval_ms.into())
    }

    pub(crate) fn seconds(&self, default: u16) -> anyhow::Result<Duration> {
        let seconds = self.seconds.unwrap_or(default);
        ensure!((1..=SECONDS_MAX).contains(&seconds), "--seconds is from 1 to {SECONDS_MAX}");
        Ok(Duration::from_secs(seconds.into()))
    }
}

const SECONDS_MAX: u16 = 3_600;
