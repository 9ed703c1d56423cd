//! What happens to processes.

use anyhow::{Context as _, ensure};
use steeple_testkit::until;

use super::site::name;
use super::stage::{LED_MAX, Stage, followed};

pub(super) async fn leader_killed(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    stage.site.server(before.position).kill9().await?;
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    Ok(followed(before, after))
}

pub(super) async fn follower_killed(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    stage.site.server(position).kill9().await?;
    stage.hold().await?;
    Ok(format!("{} was dead", name(position)))
}

/// At one instant.
pub(super) async fn all_killed(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    for server in &stage.site.cluster.servers {
        server.process().context("a replica is down")?.send_kill9();
    }
    for position in 0..stage.site.size() {
        stage.site.server(position).kill9().await?;
    }
    for position in 0..stage.site.size() {
        stage.site.server(position).launch()?;
    }
    let after = stage.led().await?;
    ensure!(after.term > before.term, "term {} after the death of all in term {}", after.term, before.term);
    Ok(followed(before, after))
}

/// Orderly, one after the other, the leader last.
pub(super) async fn rolling_restart(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    let mut order: Vec<usize> = (0..stage.site.size()).collect();
    order.sort_by_key(|position| *position == before.position);
    for position in order {
        let server = stage.site.server(position);
        server.stop().await?;
        server.launch()?;
        server.ready().await?;
        stage.site.cluster.caught_up(position).await?;
    }
    let after = stage.led_by_another(before).await?;
    Ok(followed(before, after))
}

pub(super) async fn leader_paused(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    pause(stage, before.position).await?;
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    Ok(followed(before, after))
}

pub(super) async fn follower_paused(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    pause(stage, position).await?;
    stage.hold().await?;
    Ok(format!("{} stood still", name(position)))
}

/// Returns when the kernel says that it stands still.
pub(super) async fn pause(stage: &Stage<'_>, position: usize) -> anyhow::Result<()> {
    let process = stage.site.cluster.servers[position].process().context("the replica is down")?;
    process.pause();
    until("a process stands still", LED_MAX, async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid()))?;
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        ensure!(state == Some('T'), "its state is {state:?}");
        Ok(())
    })
    .await
}
