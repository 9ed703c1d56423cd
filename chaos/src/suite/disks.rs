//! What happens to disks.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_api::steeple::server::TransferLeaderRequest;
use steeple_testkit::until;
use tokio::time::timeout;

use super::site::name;
use super::stage::{LED_MAX, Led, Stage, WRITES, followed};

/// A replica that stopped goes on to answer probes for a while, then ends.
const ENDED_MAX: Duration = Duration::from_secs(60);
/// What a sync takes longer on a disk that is slow, by the server's own measure of half a second.
const SLOW_BY: Duration = Duration::from_millis(700);
/// What a replica says of it.
const DISK_IS_SLOW: &str = "the disk is slow:";
const DISK_IS_FAST: &str = "the disk is fast again";
/// A volume that is nearly full, by the server's own measure of 90 %.
const NEARLY_FULL_PERCENT: u64 = 93;

pub(super) async fn leader_sync_fails(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    let ended = sync_fails(stage, before.position).await?;
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    Ok(format!("{ended}; {}", followed(before, after)))
}

pub(super) async fn follower_sync_fails(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    let ended = sync_fails(stage, position).await?;
    stage.hold().await?;
    Ok(ended)
}

/// After a failed sync nobody knows what is on the disk: the process has to end.
async fn sync_fails(stage: &mut Stage<'_>, position: usize) -> anyhow::Result<String> {
    stage.site.disks[position].fail()?;
    let status = ended(stage, position).await.context("a sync failed, and the replica goes on")?;
    stage.site.disks[position].mend()?;
    Ok(format!("{} ended ({status})", name(position)))
}

async fn ended(stage: &mut Stage<'_>, position: usize) -> anyhow::Result<std::process::ExitStatus> {
    let server = stage.site.server(position);
    let process = server.process_mut().context("the replica is down")?;
    let status = timeout(ENDED_MAX, process.exited()).await.context("it does not end")??;
    server.kill9().await?;
    Ok(status)
}

/// All replicas die at one instant, right after a client was told that its write is done, and lose what was not synced.
pub(super) async fn power_cut(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    for disk in &stage.site.disks {
        disk.slow_down()?;
    }
    stage.writes(WRITES, LED_MAX).await?;
    for server in &stage.site.cluster.servers {
        server.process().context("a replica is down")?.send_kill9();
    }
    let mut dropped_bytes = 0;
    for position in 0..stage.site.size() {
        stage.site.server(position).kill9().await?;
        let data = stage.site.server(position).data_dir();
        dropped_bytes += stage.site.disks[position].drop_unsynced(&data)?;
        stage.site.disks[position].mend()?;
    }
    for position in 0..stage.site.size() {
        stage.site.server(position).launch()?;
    }
    Ok(format!("{dropped_bytes} bytes were not synced"))
}

/// The file system of a leader stops right after a client was told that its write is done. What it had synced is there
/// again afterwards, and what it had not is not missed: it has to end, and others go on.
pub(super) async fn leader_volume_shut_down(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.site.size() - 1;
    let before = lead(stage, position).await?;
    stage.writes(WRITES, LED_MAX).await?;
    volume(stage)?.shut_down()?;
    let status = ended(stage, position).await.context("nothing can be written, and the replica goes on")?;
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    volume(stage)?.mount_again()?;
    Ok(format!("{} ended ({status}); {}", name(position), followed(before, after)))
}

/// Every write would wait for its disk as soon as another replica is away.
pub(super) async fn leader_disk_slow(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    stage.site.disks[before.position].slow_down_by(SLOW_BY)?;
    let after = stage.led_by_another(before).await?;
    says_that_its_disk_is_slow(stage, before.position).await?;
    stage.hold().await?;
    stage.site.disks[before.position].mend()?;
    Ok(format!("{} said that its disk is slow; {}", name(before.position), followed(before, after)))
}

/// Nobody waits for its disk while the others are there.
pub(super) async fn follower_disk_slow(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    stage.site.disks[position].slow_down_by(SLOW_BY)?;
    says_that_its_disk_is_slow(stage, position).await?;
    stage.hold().await?;
    stage.site.disks[position].mend()?;
    Ok(format!("{} said that its disk is slow", name(position)))
}

/// It says so once, and may have said it in an earlier fault, if it took nothing back.
async fn says_that_its_disk_is_slow(stage: &Stage<'_>, position: usize) -> anyhow::Result<()> {
    until("a line in a log", LED_MAX, async || {
        let log = stage.site.log(position)?;
        ensure!(
            log.rfind(DISK_IS_SLOW) > log.rfind(DISK_IS_FAST),
            "{} does not say that its disk is slow",
            name(position)
        );
        Ok(())
    })
    .await
}

/// A leader whose volume is nearly full hands over; on a full one a replica ends, and others go on.
pub(super) async fn disk_full(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.site.size() - 1;
    let before = lead(stage, position).await?;
    volume(stage)?.fill(NEARLY_FULL_PERCENT)?;
    let after = stage.led_by_another(before).await?;
    volume(stage)?.fill(100)?;
    let status = ended(stage, position).await.context("nothing can be written, and the replica goes on")?;
    stage.hold().await?;
    volume(stage)?.empty()?;
    Ok(format!("{}; {} ended ({status})", followed(before, after), name(position)))
}

fn volume<'s>(stage: &'s Stage<'_>) -> anyhow::Result<&'s crate::faults::Volume> {
    stage.site.volume.as_ref().context("no volume is mounted")
}

/// Hands leadership to the replica at `position`.
async fn lead(stage: &mut Stage<'_>, position: usize) -> anyhow::Result<Led> {
    let node_id = stage.site.server(position).admin().status().await?.node_id;
    until("the replica leads", LED_MAX, async || {
        let leader = stage.led().await?;
        if leader.position == position {
            return Ok(leader);
        }
        let mut cluster = stage.site.cluster.servers[leader.position].admin().cluster();
        cluster.transfer_leader(TransferLeaderRequest { node_id }).await?;
        anyhow::bail!("it was just asked to")
    })
    .await
}
