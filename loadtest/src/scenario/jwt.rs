//! JWT-SVIDs, as many as the server can, then at half of that.

use std::sync::Arc;

use clap::Args;

use super::issuers::Issuers;
use super::stages::Stages;
use crate::report::Report;
use crate::target::{Options, Target};

/// NewJWTSVID with one audience by 200 agents with 10 entries each, for 10 s as much as the server can and for 10 s
/// half of that at random times. W3.
#[derive(Args, Clone, Debug)]
pub struct JwtArgs {
    /// Entries of each agent.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub entries: u16,
}

pub(crate) async fn run(options: &Options, args: &JwtArgs) -> anyhow::Result<Report> {
    let (agents, duration) = (options.agents(AGENTS)?, options.seconds(SECONDS)?);
    let target = Target::start(options).await?;
    let issuers = Issuers::set_up(&target, agents, args.entries.into()).await?;
    let shown = format!("--agents {agents} --seconds {} --entries {}", duration.as_secs(), args.entries);
    let mut report = target.report("jwt", &shown);
    let stages = Stages { noun: "JWT-SVIDs", batch: 1, outstanding: agents, duration, seed: options.seed };
    let calling = Arc::clone(&issuers);
    stages
        .run(&target, &mut report, move |client, number| {
            let issuers = Arc::clone(&calling);
            async move { issuers.jwt(issuers.of_agent(client, number)).await }
        })
        .await?;
    report.gates.extend(issuers.check.gates());
    target.stop().await?;
    Ok(report)
}

const AGENTS: usize = 200;
const SECONDS: u16 = 10;
