//! A fleet for which nothing changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::aliases::aliased_fleet;
use crate::fleet::{Agent, Carried, Change, Followers, Observer, Sync};
use crate::load::Pace;
use crate::report::{Gate, Reading, Report, Window};
use crate::target::{Options, Target};

/// 1,000 agents with 100 entries visible to each, an alias for 100 agents, and no changes for 60 s: CPU and bytes for
/// each hour of an agent. SPIRE ends connections after three minutes: 180 s hold one full cycle. W6; W7 with few agents
/// and --entries 10000.
#[derive(Args, Clone, Debug)]
pub struct IdleArgs {
    /// Entries that each agent sees.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub entries: u32,
}

/// Counts syncs.
#[derive(Default)]
pub(super) struct Tally {
    syncs: AtomicU64,
    incomplete: AtomicU64,
    failures: Mutex<Vec<String>>,
    entries: usize,
    /// Agents that are pushed to hear nothing while nothing changes.
    silent: bool,
}

pub(crate) async fn run(options: &Options, args: &IdleArgs) -> anyhow::Result<Report> {
    let (agents, duration) = (options.agents(AGENTS)?, options.seconds(SECONDS)?);
    let target = Target::start(options).await?;
    let empty_bytes = target.resident_bytes()?;
    let agents = aliased_fleet(&target, agents, args.entries as usize).await?;
    let silent = options.sync == Sync::Push;
    let tally = Arc::new(Tally { entries: args.entries as usize, silent, ..Tally::default() });
    let (seed, interval) = (options.seed, options.sync_interval());
    let pace = |number: usize| Pace::new(interval, seed ^ (number as u64) << 20);
    let mut followers = Followers::start(&agents, options.sync, &tally, pace);
    followers.all_synced(&target.progress).await?;

    tally.syncs.store(0, Ordering::Relaxed);
    target.progress.step(format!("doing nothing for {duration:?}"), 0);
    let (window, before) = (Window::open("idle", target.pids())?, target.domain.traffic.carried());
    let began = Instant::now();
    sleep(duration).await;
    let (usage, carried) = (window.close()?, target.domain.traffic.carried().since(before));
    let hours = agents.len() as f64 * began.elapsed().as_secs_f64() / 3_600.0;
    let syncs = tally.syncs.load(Ordering::Relaxed);
    let shown = format!("--agents {} --seconds {} --entries {}", agents.len(), duration.as_secs(), args.entries);
    let mut report = target.report("idle", &shown);
    let Carried { received_bytes, sent_bytes, connections } = carried;
    let resident = target.resident_bytes()?;
    report.readings = vec![
        Reading::less("server CPU", usage.server_cpu_seconds / hours, "s an agent-hour"),
        Reading::less("server CPU for a sync", usage.server_cpu_seconds * 1e6 / syncs.max(1) as f64, "us"),
        Reading::less("bytes to an agent", received_bytes as f64 / hours / 1e3, "kB an agent-hour"),
        Reading::less("bytes from an agent", sent_bytes as f64 / hours / 1e3, "kB an agent-hour"),
        Reading::less("resident memory for an agent", kib(resident, empty_bytes) / agents.len() as f64, "KiB"),
        Reading::fact("syncs", syncs as f64, ""),
        Reading::fact("new connections", connections as f64, ""),
    ];
    report.windows.push(usage);
    report.gates.push(tally.gate());
    drop(followers);
    target.stop().await?;
    Ok(report)
}

/// Beyond the empty server.
fn kib(now: u64, before: u64) -> f64 {
    now.saturating_sub(before) as f64 / 1024.0
}

impl Tally {
    fn gate(&self) -> Gate {
        let failures = self.failures.lock();
        let (syncs, incomplete) = (self.syncs.load(Ordering::Relaxed), self.incomplete.load(Ordering::Relaxed));
        let first = failures.first().map_or(String::new(), |first| format!("; the first: {first}"));
        let detail = format!("{syncs} syncs, {incomplete} of another size, {} failed{first}", failures.len());
        let heard = syncs > 0 || self.silent;
        Gate::new("every sync has the whole set", incomplete == 0 && failures.is_empty() && heard, detail)
    }
}

impl Observer for Tally {
    async fn synced(&self, _agent: &Agent, change: Change) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.incomplete.fetch_add(u64::from(change.entries != self.entries), Ordering::Relaxed);
    }

    fn failed(&self, _agent: &Agent, status: &Status) {
        let mut failures = self.failures.lock();
        if failures.len() < FAILURES_KEPT {
            failures.push(format!("{:?}: {}", status.code(), status.message()));
        }
    }
}

const AGENTS: usize = 1_000;
const SECONDS: u16 = 60;
const FAILURES_KEPT: usize = 1_000;
