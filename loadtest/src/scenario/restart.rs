//! A rolling restart under writers and issuers.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use tokio::time::sleep;

use super::clients::{Clients, ClientsArgs};
use crate::report::Report;
use crate::target::{Options, Target};

/// Writers and issuers at a steady rate through any replica, while one replica after the other is stopped with SIGTERM
/// and started again, the next one when it is ready. Renewals that fail, and the longest gaps. Use --replicas 3.
#[derive(Args, Clone, Debug)]
pub struct RestartArgs {
    #[command(flatten)]
    pub clients: ClientsArgs,
    /// How often all replicas are restarted.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
}

pub(crate) async fn run(options: &Options, args: &RestartArgs) -> anyhow::Result<Report> {
    let mut target = Target::start(options).await?;
    let replicas = target.started()?.servers.len();
    ensure!(replicas > 1, "one replica leaves nobody to serve: use --replicas 3");
    let clients = Clients::start(&target, &args.clients).await?;
    let restarts = u64::from(args.rounds) * replicas as u64;
    target.progress.step(format!("{restarts} restarts"), restarts);
    for number in 0..restarts as usize {
        sleep(PAUSE).await;
        let cluster = target.started()?;
        let position = number % replicas;
        cluster.servers[position].stop().await?;
        cluster.servers[position].launch()?;
        cluster.servers[position].ready().await?;
        cluster.caught_up(position).await?;
        target.progress.add(1);
    }
    sleep(PAUSE).await;

    let shown = format!("--rounds {} {}", args.rounds, args.clients.shown());
    let mut report = target.report("restart", &shown);
    clients.report(&target, &mut report).await?;
    target.stop().await?;
    Ok(report)
}

const PAUSE: Duration = Duration::from_secs(2);
