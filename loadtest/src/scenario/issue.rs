//! X.509-SVIDs, as many as the server can, then at half of that.

use std::sync::Arc;

use clap::Args;

use super::issuers::Issuers;
use super::stages::Stages;
use crate::report::Report;
use crate::target::{Options, Target};

/// BatchNewX509SVID by 200 agents with 10 entries each, CSRs made beforehand, for 10 s as much as the server can and
/// for 10 s half of that at random times. W1, and W2 with --batch 100.
#[derive(Args, Clone, Debug)]
pub struct IssueArgs {
    /// CSRs in one call.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub batch: u16,
    /// Entries of each agent.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub entries: u16,
    /// Calls open at one time; by default one for each agent, 8 with a batch of more than one: a server that is fair to
    /// 200 large calls answers them all in one wave.
    #[arg(long)]
    pub outstanding: Option<u16>,
}

pub(crate) async fn run(options: &Options, args: &IssueArgs) -> anyhow::Result<Report> {
    let (agents, duration) = (options.agents(AGENTS)?, options.seconds(SECONDS)?);
    let target = Target::start(options).await?;
    let issuers = Issuers::set_up(&target, agents, args.entries.into()).await?;
    let batch = usize::from(args.batch);
    let outstanding = args.outstanding.map_or(if batch > 1 { BATCHES_OPEN } else { agents }, usize::from);
    let shown =
        format!("--agents {agents} --seconds {} --batch {batch} --entries {}", duration.as_secs(), args.entries);
    let mut report = target.report("issue", &shown);
    let stages = Stages { noun: "X.509-SVIDs", batch, outstanding, duration, seed: options.seed };
    let calling = Arc::clone(&issuers);
    stages
        .run(&target, &mut report, move |client, number| {
            let issuers = Arc::clone(&calling);
            async move { issuers.x509(issuers.of_agent(client, number), batch).await }
        })
        .await?;
    report.gates.extend(issuers.check.gates());
    target.stop().await?;
    Ok(report)
}

const AGENTS: usize = 200;
const SECONDS: u16 = 10;
const BATCHES_OPEN: usize = 8;
