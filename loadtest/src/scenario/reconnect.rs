//! The server killed under a fleet, and everybody back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::aliases::aliased_fleet;
use crate::fleet::{Agent, Change, Followers, Known, Observer, Sync, sync};
use crate::load::Pace;
use crate::report::{Gate, Reading, Report, Window};
use crate::target::{Options, Target};
use crate::usage::{cpu_seconds, peak_bytes};

/// 1,000 agents with 100 entries each have synced; the server is killed with SIGKILL and started at once. How soon 99 %
/// of the agents have synced again, and the server's CPU until then. W5.
#[derive(Args, Clone, Debug)]
pub struct ReconnectArgs {
    #[arg(long, value_enum, default_value_t)]
    pub backoff: Backoff,
    /// Entries that each agent sees.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub entries: u32,
}

/// How agents come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backoff {
    /// By SPIRE's timers: an agent that polls while the server is away waits 7.5 s. With --sync push within a second.
    Stock,
    /// All at the instant of the start, and again every 50 ms: what the server can take.
    #[default]
    None,
}

/// Who has synced since the kill.
#[derive(Default)]
struct Back {
    killed: AtomicBool,
    /// By agent: whether it is counted.
    agents: Vec<AtomicBool>,
    back: AtomicU64,
    whole: usize,
    incomplete: AtomicU64,
}

pub(crate) async fn run(options: &Options, args: &ReconnectArgs) -> anyhow::Result<Report> {
    let agents = options.agents(AGENTS)?;
    let mut target = Target::start(options).await?;
    target.started_alone()?;
    let agents = aliased_fleet(&target, agents, args.entries as usize).await?;
    let back = Arc::new(Back {
        agents: agents.iter().map(|_| AtomicBool::new(false)).collect(),
        whole: args.entries as usize,
        ..Back::default()
    });
    let (seed, interval) = (options.seed, options.sync_interval());
    let pace = |number: usize| Pace::new(interval, seed ^ (number as u64) << 20);
    let mut followers = Followers::start(&agents, options.sync, &back, pace);
    followers.all_synced(&target.progress).await?;
    ensure!(back.incomplete.load(Ordering::Relaxed) == 0, "agents had no whole sets before anything was killed");
    let resident = target.resident_bytes()?;
    // Those who come back all at once are started when the server is; those who are pushed to come back by themselves.
    let at_once = args.backoff == Backoff::None && options.sync == Sync::Poll;
    let followers = (!at_once).then_some(followers);

    target.progress.step("SIGKILL and start", agents.len() as u64);
    let server = target.started_alone()?;
    let began = Instant::now();
    server.kill9().await?;
    back.killed.store(true, Ordering::Relaxed);
    server.launch()?;
    let pid = server.process().map_or(0, |process| process.pid());
    let window = Window::open("coming back", vec![pid])?;
    let mut eager = JoinSet::new();
    if at_once {
        for agent in &agents {
            eager.spawn(come_back(Arc::clone(agent), Arc::clone(&back)));
        }
    }
    let wanted = (agents.len() as u64 * 99).div_ceil(100);
    while back.back.load(Ordering::Relaxed) < wanted {
        ensure!(began.elapsed() < BACK_MAX, "{} of {wanted} agents came back", back.back.load(Ordering::Relaxed));
        sleep(LOOK_EVERY).await;
    }
    let (seconds, cpu, usage) = (began.elapsed().as_secs_f64(), cpu_seconds(pid)?, window.close()?);
    // The last ones too: nobody is left behind.
    while back.back.load(Ordering::Relaxed) < agents.len() as u64 && began.elapsed() < BACK_MAX {
        sleep(LOOK_EVERY).await;
    }
    drop((eager, followers));

    let shown = format!(
        "--agents {} --entries {} --backoff {}",
        agents.len(),
        args.entries,
        if at_once { "none" } else { "stock" }
    );
    let mut report = target.report("reconnect", &shown);
    let count = agents.len() as f64;
    report.readings = vec![
        Reading::less("kill to 99 % synced", seconds, "s"),
        Reading::less("server CPU until then, for an agent", cpu * 1e3 / count, "ms"),
        Reading::less("peak memory, for an agent", peak_bytes(pid)? as f64 / 1024.0 / count, "KiB"),
        Reading::fact("memory before the kill, for an agent", resident as f64 / 1024.0 / count, "KiB"),
    ];
    report.windows.push(usage);
    let (all, incomplete) = (back.back.load(Ordering::Relaxed), back.incomplete.load(Ordering::Relaxed));
    let detail = format!("{all} of {}, {incomplete} syncs of another size", agents.len());
    report.gates.push(Gate::new(
        "everybody has the whole set again",
        all as usize == agents.len() && incomplete == 0,
        detail,
    ));
    target.stop().await?;
    Ok(report)
}

/// At once, and again and again over new connections.
async fn come_back(agent: Arc<Agent>, back: Arc<Back>) {
    loop {
        agent.reconnect();
        if let Ok(change) = sync(&agent.channel(), &mut Known::new()).await {
            back.synced(&agent, change).await;
            // Stays connected, as agents do.
            std::future::pending::<()>().await;
        }
        sleep(RETRY).await;
    }
}

impl Observer for Back {
    async fn synced(&self, agent: &Agent, change: Change) {
        if change.entries != self.whole {
            self.incomplete.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let killed = self.killed.load(Ordering::Relaxed);
        if killed && !self.agents[agent.number].swap(true, Ordering::Relaxed) {
            self.back.fetch_add(1, Ordering::Relaxed);
        }
    }
}

const AGENTS: usize = 1_000;
const RETRY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const BACK_MAX: Duration = Duration::from_secs(180);
