//! A replica killed under writers and issuers.

use anyhow::Context as _;
use clap::Args;
use tokio::time::sleep;

use super::clients::{Clients, ClientsArgs};
use crate::report::{Report, Window};
use crate::target::{Options, Target};

/// 4 writers and 4 issuers, each at 20 calls a second through any replica, for 30 s. After a third of the time the
/// leader is killed with SIGKILL, after another third it is started again; a single server is started at once. The
/// longest gaps, and whether any acknowledged write is lost. Use --replicas 3. W12.
#[derive(Args, Clone, Debug)]
pub struct FailoverArgs {
    #[command(flatten)]
    pub clients: ClientsArgs,
}

pub(crate) async fn run(options: &Options, args: &FailoverArgs) -> anyhow::Result<Report> {
    let duration = options.seconds(SECONDS)?;
    let mut target = Target::start(options).await?;
    target.started()?;
    let clients = Clients::start(&target, &args.clients).await?;
    target.progress.step(format!("writing and issuing for {:?}", duration / 3), 0);
    let window = Window::open("before the kill", target.pids())?;
    sleep(duration / 3).await;
    let usage = window.close()?;
    let killed = kill(&mut target).await?;
    sleep(duration / 3).await;
    bring_back(&mut target, killed).await?;
    sleep(duration.saturating_sub(clients.elapsed())).await;

    let shown = format!("--seconds {} {}", duration.as_secs(), args.clients.shown());
    let mut report = target.report("failover", &shown);
    clients.report(&target, &mut report).await?;
    report.windows.push(usage);
    target.stop().await?;
    Ok(report)
}

/// The leader of several replicas, or the only server. Returns its position while it is down.
async fn kill(target: &mut Target) -> anyhow::Result<Option<usize>> {
    target.progress.step("SIGKILL", 0);
    let cluster = target.started()?;
    if cluster.servers.len() > 1 {
        let leader = cluster.leader().await?;
        cluster.servers[leader].kill9().await?;
        return Ok(Some(leader));
    }
    let server = cluster.servers.first_mut().context("no server")?;
    server.kill9().await?;
    server.launch()?;
    Ok(None)
}

async fn bring_back(target: &mut Target, killed: Option<usize>) -> anyhow::Result<()> {
    let Some(position) = killed else { return Ok(()) };
    target.progress.step("starting it again", 0);
    let server = &mut target.started()?.servers[position];
    server.launch()?;
    server.ready().await
}

const SECONDS: u16 = 30;
