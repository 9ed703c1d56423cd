//! What happens to members.

use anyhow::ensure;
use steeple_testkit::until;

use super::site::name;
use super::stage::{LED_MAX, Stage};

/// Log entries that a follower misses so that the leader has purged what it needs.
const MISSED_ENTRIES: u64 = 500;

/// A follower is away until nobody holds the log that it lacks.
pub(super) async fn snapshot_installed(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    stage.site.server(position).kill9().await?;
    let (began, mark) = (stage.led().await?.applied, stage.site.log_mark(position));
    until("the others go ahead", 2 * LED_MAX, async || {
        let applied = stage.led().await?.applied;
        ensure!(applied >= began + MISSED_ENTRIES, "{applied} applied, {began} when it went");
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let server = stage.site.server(position);
    server.launch()?;
    server.ready().await?;
    stage.says(position, mark, "a snapshot of the leader's state was installed").await?;
    Ok(format!("{} was {MISSED_ENTRIES} entries behind", name(position)))
}

pub(super) async fn follower_replaced(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    replaced(stage, position).await
}

pub(super) async fn leader_replaced(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.led().await?.position;
    replaced(stage, position).await
}

/// Out of the membership, and back with an empty disk.
async fn replaced(stage: &mut Stage<'_>, position: usize) -> anyhow::Result<String> {
    let before = stage.site.server(position).admin().status().await?.node_id;
    stage.site.replace(position, before).await?;
    let after = stage.site.server(position).admin().status().await?.node_id;
    ensure!(after > before, "node {after} has the disk of which node {before} was wiped");
    Ok(format!("{} was node {before} and is node {after}", name(position)))
}
