//! Leadership handed over under writers and issuers.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use steeple_api::steeple::server::TransferLeaderRequest;
use steeple_testkit::Cluster;
use tokio::time::sleep;

use super::clients::{Clients, ClientsArgs};
use crate::load::Latency;
use crate::report::{Reading, Report, Window};
use crate::target::{Options, Target};

/// Writers and issuers at a steady rate through any replica, while leadership is handed to one replica after the other.
/// The longest time without an acknowledged write around each transfer. Use --replicas 3.
#[derive(Args, Clone, Debug)]
pub struct TransferArgs {
    #[command(flatten)]
    pub clients: ClientsArgs,
    /// Transfers, one a second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub transfers: u16,
}

pub(crate) async fn run(options: &Options, args: &TransferArgs) -> anyhow::Result<Report> {
    let mut target = Target::start(options).await?;
    ensure!(target.started()?.servers.len() > 1, "one replica has nobody to hand over to: use --replicas 3");
    let clients = Clients::start(&target, &args.clients).await?;
    let transfers = u64::from(args.transfers);
    target.progress.step(format!("{transfers} transfers"), transfers);
    let window = Window::open("transfers", target.pids())?;
    let (mut gaps, mut longest) = (Latency::new()?, Duration::ZERO);
    for _ in 0..transfers {
        let begun = clients.elapsed();
        hand_over(target.started()?).await?;
        sleep((begun + PAUSE).saturating_sub(clients.elapsed())).await;
        let gap = clients.write_gap(begun, clients.elapsed());
        gaps.record(gap);
        longest = longest.max(gap);
        target.progress.add(1);
    }
    let usage = window.close()?;

    let shown = format!("--transfers {transfers} {}", args.clients.shown());
    let mut report = target.report("transfer", &shown);
    report.readings.extend(Reading::latencies("time without a write around a transfer", gaps.quantiles()));
    clients.report(&target, &mut report).await?;
    report.windows.push(usage);
    target.stop().await?;
    Ok(report)
}

/// To the voter after the leader.
async fn hand_over(cluster: &Cluster) -> anyhow::Result<()> {
    let leader = cluster.leader().await?;
    let next = (leader + 1) % cluster.servers.len();
    let node_id = cluster.servers[next].admin().status().await?.node_id;
    let mut client = cluster.servers[leader].admin().cluster();
    client.transfer_leader(TransferLeaderRequest { node_id }).await.context("handing leadership over")?;
    Ok(())
}

const PAUSE: Duration = Duration::from_secs(1);
