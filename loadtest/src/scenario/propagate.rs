//! From an entry that is created to the SVID for it in somebody's hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use steeple_testkit::{Admin, Dice};
use tokio::time::sleep_until;

use super::hands::Hands;
use super::workload::Workload;
use crate::fleet::{Agent, Followers};
use crate::load::{Arrivals, Pace};
use crate::report::{Reading, Report, Window};
use crate::target::{Options, Target, Wanted, batch_create};

/// 1,000 agents follow; entries are created at 5 a second at random times for 45 s, each for an agent drawn at random.
/// The clock runs from the intended time of the creation to the SVID in that agent's hand, or with --agent-program on
/// the open stream of a workload. W9.
#[derive(Args, Clone, Debug)]
pub struct PropagateArgs {
    /// Entries created a second, on average.
    #[arg(long, default_value_t = 5.0)]
    pub rate: f64,
    /// Start this agent, a steeple-agent or a spire-agent, and create all entries for a workload of it that holds a
    /// stream of the Workload API open; simulated agents only follow beside it.
    #[arg(long, value_name = "PATH")]
    pub agent_program: Option<PathBuf>,
}

pub(crate) async fn run(options: &Options, args: &PropagateArgs) -> anyhow::Result<Report> {
    let (agents, duration) = (options.agents(AGENTS)?, options.seconds(SECONDS)?);
    ensure!(args.rate > 0.0 && args.rate <= RATE_MAX, "--rate is above 0 and at most {RATE_MAX}");
    let target = Target::start(options).await?;
    let agents = target.agents(agents, |number| format!("node-{number}")).await?;
    let hands = Arc::new(Hands::new(&target).await?);
    let (seed, interval) = (options.seed, options.sync_interval());
    let pace = |number: usize| Pace::new(interval, seed ^ (number as u64) << 20);
    let mut followers = Followers::start(&agents, options.sync, &hands, pace);
    followers.all_synced(&target.progress).await?;
    let workload = match &args.agent_program {
        Some(program) => Some(Workload::start(&target, program, &hands).await?),
        None => None,
    };

    target.progress.step(format!("creating {} entries a second for {duration:?}", args.rate), 0);
    let window = Window::open("creating", target.pids())?;
    let arrivals = Arrivals::new(args.rate, duration, seed);
    let count =
        create(&target.admin()?, &hands, arrivals, Parents { agents: &agents, workload: &workload, seed }).await?;
    hands.all_arrived().await;
    let usage = window.close()?;
    drop(followers);

    let mut shown = format!("--agents {} --seconds {} --rate {}", agents.len(), duration.as_secs(), args.rate);
    let mut what = "entry created to SVID in an agent's hand";
    if let Some(program) = &args.agent_program {
        shown.push_str(&format!(" --agent-program {}", program.display()));
        what = "entry created to SVID on a workload's stream";
    }
    let mut report = target.report("propagate", &shown);
    report.readings.extend(Reading::latencies(what, hands.quantiles()));
    report.readings.push(Reading::fact("entries created", count as f64, ""));
    report.readings.push(Reading::less("server CPU while agents follow", usage.server_cpu_share, "cores"));
    report.windows.push(usage);
    report.gates.extend(hands.check.gates());
    report.gates.push(hands.gate(count));
    if let Some(workload) = workload {
        workload.stop().await?;
    }
    target.stop().await?;
    Ok(report)
}

/// Whose entries are created.
struct Parents<'a> {
    agents: &'a [Arc<Agent>],
    workload: &'a Option<Workload>,
    seed: u64,
}

async fn create(admin: &Admin, hands: &Hands, arrivals: Arrivals, parents: Parents<'_>) -> anyhow::Result<u64> {
    let (began, mut dice, mut count) = (Instant::now(), Dice::new(parents.seed), 0);
    for (number, at) in arrivals.enumerate() {
        sleep_until((began + at).into()).await;
        let path = format!("/load/{number}");
        hands.created(&path, began + at);
        match parents.workload {
            Some(workload) => workload.create(admin, &path).await?,
            None => {
                let agent = &parents.agents[dice.below(parents.agents.len() as u64) as usize];
                batch_create(admin, vec![Wanted { path, parent: agent.id.clone() }.entry()]).await?;
            }
        }
        count += 1;
    }
    Ok(count)
}

const AGENTS: usize = 1_000;
const SECONDS: u16 = 45;
const RATE_MAX: f64 = 1_000.0;
