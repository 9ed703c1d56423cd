//! What a network does to replicas.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use steeple_testkit::until;
use tokio::time::sleep;

use super::site::name;
use super::stage::{LED_MAX, Stage, WRITES, followed};
use crate::faults::Link;

/// Within an election timeout, and often above a heartbeat.
pub(super) const DELAYED: Link = Link { delay_ms: (10, 90), ..Link::OPEN };
pub(super) const LOSSY: Link = Link { lost_percent: 5, ..Link::OPEN };
/// Cut and mended so often, each time for so long.
const FLAPS: u32 = 6;
const FLAP: Duration = Duration::from_millis(500);

/// What the leader cannot do any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lacks {
    Hearing,
    Speech,
}

pub(super) async fn leader_cut_off(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    stage.site.network.set_all_of(before.position, Link::CUT);
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    held_up(stage, followed(before, after))
}

pub(super) async fn follower_cut_off(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    stage.site.network.set_all_of(position, Link::CUT);
    stage.hold().await?;
    held_up(stage, format!("{} was alone", name(position)))
}

/// Packets to and from the leader vanish, those of its peers and those of agents.
pub(super) async fn leader_unplugged(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let before = stage.led().await?;
    unplug(stage, before.position)?;
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    Ok(followed(before, after))
}

/// It notices that nobody leads it.
pub(super) async fn follower_unplugged(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let position = stage.follower().await?;
    unplug(stage, position)?;
    stage.hold().await?;
    until("it knows no leader", LED_MAX, async || {
        let status = stage.site.cluster.servers[position].admin().status().await?;
        ensure!(status.leader_id == 0, "it follows node {}", status.leader_id);
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    Ok(format!("{} knew no leader", name(position)))
}

fn unplug(stage: &Stage<'_>, position: usize) -> anyhow::Result<()> {
    stage.site.namespaces.as_ref().context("no namespaces")?.unplug(position)
}

/// One direction of each of the leader's links is cut. Writes have to go on, whoever leads.
pub(super) async fn leader_one_way(stage: &mut Stage<'_>, lacks: Lacks) -> anyhow::Result<String> {
    let before = stage.led().await?;
    for other in (0..stage.site.size()).filter(|other| *other != before.position) {
        match lacks {
            Lacks::Hearing => stage.site.network.set(other, before.position, Link::CUT),
            Lacks::Speech => stage.site.network.set(before.position, other, Link::CUT),
        }
    }
    let after = stage.led_by_another(before).await?;
    stage.hold().await?;
    held_up(stage, followed(before, after))
}

/// The leader reaches one other replica, which reaches all.
pub(super) async fn bridge(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    let (leader, bridge) = (stage.led().await?.position, stage.follower().await?);
    for other in (0..stage.site.size()).filter(|other| ![leader, bridge].contains(other)) {
        stage.site.network.set_both(leader, other, Link::CUT);
    }
    stage.hold().await?;
    held_up(stage, format!("{} was the only way to {}", name(bridge), name(leader)))
}

pub(super) async fn flapping(stage: &mut Stage<'_>) -> anyhow::Result<String> {
    for _ in 0..FLAPS {
        let position = stage.dice.below(stage.site.size() as u64) as usize;
        stage.site.network.set_all_of(position, Link::CUT);
        sleep(FLAP).await;
        stage.site.network.heal();
        sleep(FLAP).await;
    }
    stage.writes(WRITES, LED_MAX).await?;
    held_up(stage, format!("{FLAPS} times"))
}

/// All links are as slow or lossy as `link`.
pub(super) async fn slow(stage: &mut Stage<'_>, link: Link) -> anyhow::Result<String> {
    for one in 0..stage.site.size() {
        stage.site.network.set_all_of(one, link);
    }
    stage.hold().await?;
    held_up(stage, "all links".to_owned())
}

/// A network in which nobody noticed anything was not broken.
fn held_up(stage: &Stage<'_>, what: String) -> anyhow::Result<String> {
    let pieces = stage.site.network.take_troubled();
    ensure!(pieces > 0, "no message was held up");
    Ok(format!("{what}; {pieces} pieces held up"))
}
