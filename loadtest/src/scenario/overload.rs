//! More than the server can do, then a load that it can.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use steeple_testkit::Dice;
use tokio::time::sleep;

use super::issuers::Issuers;
use crate::load::{Answered, Offer, closed_loop, open_loop};
use crate::report::{Reading, Report, Window};
use crate::target::{Options, Target};

/// X.509-SVIDs, one a call: 5 s to find what the server can do, 20 s of three times that at random times, then 20 s of
/// half of it. A call waits for 5 s. W15.
#[derive(Args, Clone, Debug)]
pub struct OverloadArgs {
    /// Times what the server can do.
    #[arg(long, default_value_t = 3.0)]
    pub times: f64,
    /// Entries of each agent.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub entries: u16,
}

pub(crate) async fn run(options: &Options, args: &OverloadArgs) -> anyhow::Result<Report> {
    let (agents, duration) = (options.agents(AGENTS)?, options.seconds(SECONDS)?);
    anyhow::ensure!(args.times > 0.0 && args.times <= TIMES_MAX, "--times is above 0 and at most {TIMES_MAX}");
    let target = Target::start(options).await?;
    let issuers = Issuers::set_up(&target, agents, args.entries.into()).await?;
    let capacity = capacity(&target, &issuers, duration / 4).await?;
    let resident = target.resident_bytes()?;

    let over = args.times * capacity;
    target.progress.step(format!("{over:.0} calls a second for {duration:?}"), 0);
    let window = Window::open("overload", target.pids())?;
    let overloaded = offer(&issuers, over, duration, options.seed).await?;
    let usage = window.close()?;
    target.progress.step(format!("{:.0} calls a second for {duration:?}", capacity / 2.0), 0);
    let window = Window::open("afterwards", target.pids())?;
    let after = offer(&issuers, capacity / 2.0, duration, options.seed + 1).await?;
    sleep(SETTLE).await;

    let shown = format!("--agents {agents} --seconds {} --times {}", duration.as_secs(), args.times);
    let mut report = target.report("overload", &shown);
    let goodput = overloaded.succeeded() as f64 / overloaded.seconds;
    report.readings = vec![
        Reading::more("what it can do", capacity, "calls a second"),
        Reading::more("  of that done under overload", goodput / capacity, ""),
        Reading::more(
            "  X.509-SVIDs under overload",
            usage.per_cpu_second(overloaded.succeeded() as f64),
            "a CPU-second",
        ),
        Reading::fact("calls that failed under overload", overloaded.failed_share(), "of all"),
        Reading::less("afterwards, until all calls take less than 1 s", after.bad_until(GOOD).as_secs_f64(), "s"),
        Reading::less("memory at the peak", usage.server_peak_bytes as f64 / MIB, "MiB"),
        Reading::less("memory afterwards", target.resident_bytes()? as f64 / MIB, "MiB"),
        Reading::fact("memory before", resident as f64 / MIB, "MiB"),
    ];
    report
        .readings
        .extend(Reading::latencies("  a call under overload, of those that succeeded", overloaded.latency.quantiles()));
    report.windows.push(usage);
    report.windows.push(window.close()?);
    report.gates.extend(issuers.check.gates());
    target.stop().await?;
    Ok(report)
}

async fn capacity(target: &Target, issuers: &Arc<Issuers>, duration: Duration) -> anyhow::Result<f64> {
    target.progress.step("finding what the server can do", 0);
    let clients = (0..issuers.agents.len()).map(|client| {
        let issuers = Arc::clone(issuers);
        move |number| {
            let issuers = Arc::clone(&issuers);
            async move { issuers.x509(issuers.of_agent(client, number), 1).await }
        }
    });
    Ok(closed_loop(clients.collect(), duration).await.context("finding what the server can do")?.per_second())
}

async fn offer(issuers: &Arc<Issuers>, per_second: f64, duration: Duration, seed: u64) -> anyhow::Result<Answered> {
    let mut dice = Dice::new(seed);
    open_loop(Offer { per_second, duration, deadline: DEADLINE, seed }, |_| {
        let (issuers, choice) = (Arc::clone(issuers), issuers.choose(&mut dice));
        async move { issuers.x509(choice, 1).await }
    })
    .await
}

const AGENTS: usize = 200;
const SECONDS: u16 = 20;
const TIMES_MAX: f64 = 20.0;
/// As long as agents wait for a signature when they are patient.
const DEADLINE: Duration = Duration::from_secs(5);
const GOOD: Duration = Duration::from_secs(1);
const SETTLE: Duration = Duration::from_secs(1);
const MIB: f64 = (1 << 20) as f64;
