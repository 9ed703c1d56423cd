//! A backup that is made under load becomes a new cluster when all disks are gone, and agents and clients go on with
//! it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_testkit::until;
use tokio::process::Command;

use super::rotation::active;
use super::stage::{LED_MAX, Stage, WRITES};
use super::workloads::Workloads;
use crate::register::{Clients, registers};

/// In the history, in reports and on the command line.
pub(super) const RESTORE: &str = "restore";
/// A new authority is prepared at once and signs a minute later, when agents have it.
const ACTIVATED_MAX: Duration = Duration::from_secs(240);
/// Agents renew every SVID once.
const RENEWED_MAX: Duration = Duration::from_secs(60);

/// Stops `clients` in the old cluster and returns those that `start` starts in the new one, with their first register.
/// `whole`: until the authority that a restore prepares signs.
pub(super) async fn restore(
    stage: &mut Stage<'_>,
    clients: Clients,
    workloads: &Workloads,
    start: impl Fn(u32) -> Clients,
    whole: bool,
) -> anyhow::Result<Clients> {
    stage.recorder.fault(RESTORE)?;
    let file = stage.site.scratch.join("chaos.backup");
    back_up(stage, &file).await?;
    // Acknowledged, and lost with the disks.
    stage.writes(WRITES, LED_MAX).await?;
    let admin = stage.site.cluster.servers[0].admin().clone();
    let (before, signs) = (admin.status().await?, active(&admin.authority_status().await?, "x509")?);
    for server in &stage.site.cluster.servers {
        server.process().context("a replica is down")?.send_kill9();
    }
    for position in 0..stage.site.size() {
        stage.site.server(position).kill9().await?;
    }
    let first_register = clients.halt().await?;
    stage.site.wipe_all()?;
    stage.recorder.wiped()?;
    let renewed = workloads.renewed();
    stage.site.restore(&file).await?;
    std::fs::remove_file(&file)?;

    let mut held = None;
    for server in &stage.site.cluster.servers {
        let found = registers(server.admin()).await?;
        if let Some(other) = held.replace(found.clone()) {
            ensure!(other == found, "{} holds other registers than the one before", server.name());
        }
    }
    let held = held.context("no replica")?;
    let kept = held.len();
    stage.recorder.restored(&held)?;
    let clients = start(first_register);
    let settled = stage.settle().await.context("after the restore")?;
    let after = admin.status().await?;
    ensure!(after.cluster_uuid != before.cluster_uuid, "it is the old cluster {}", before.cluster_uuid);
    renewed.wait(RENEWED_MAX).await.context("after the restore")?;
    if whole {
        until("the authority that the restore prepared signs", ACTIVATED_MAX, async || {
            let now = active(&admin.authority_status().await?, "x509")?;
            ensure!(now != signs, "{signs} signs on");
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    }
    let evidence = format!(
        "cluster {} became {} with {kept} registers; settled after {} ms",
        before.cluster_uuid,
        after.cluster_uuid,
        settled.as_millis()
    );
    stage.recorder.healed(RESTORE, &evidence)?;
    Ok(clients)
}

/// Through a replica that follows, with the operator's command.
async fn back_up(stage: &mut Stage<'_>, file: &Path) -> anyhow::Result<()> {
    let asked = stage.follower().await?;
    let server = &stage.site.cluster.servers[asked];
    let mut command = Command::new(server.program());
    command.args(["backup", "create", "-path"]).arg(file).arg("-socketPath").arg(server.admin_socket());
    stage.recorder.backup_began()?;
    let output = command.output().await.context("cannot start the operator's command")?;
    stage.recorder.backup_ended()?;
    ensure!(output.status.success(), "backup create: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
