//! How each fault is brought about and undone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use steeple_api::steeple::server::{ResetClockRequest, TransferLeaderRequest};
use steeple_testkit::{ExtraLines, Offset, Port, Server, ServerSpec, until};
use tokio::time::Instant;

use super::board::Board;
use super::crowd;
use super::neighbour::Kept;
use super::place::{Place, telemetry};
use super::scene::{Kind, Scene};
use crate::faults::{Link, lose_an_entry};
use crate::suite::site::TRUST_DOMAIN;

/// More than `SteepleSlowFsyncCritical` bears, and less than makes a follower time out.
const SLOW_SYNC: Duration = Duration::from_millis(1500);
/// Nearly full, and a leader takes everything.
const FILLED_PERCENT: u64 = 87;
/// A leader takes only deletions; a replica does not end yet.
const CRITICAL_PERCENT: u64 = 93;
/// More than `SteepleTimeRanAhead` bears, and no step in the life of a CA.
const MINUTES_10: Duration = Duration::from_secs(600);
/// A write after the clocks were set.
const CLOCKS_MAX: Duration = Duration::from_secs(30);
/// An agent of an hour is in its last sixth.
const MINUTES_55: Duration = Duration::from_secs(55 * 60);
/// A CA of a day is in its last twelfth, and in the last half without a successor.
const HOURS_22: Duration = Duration::from_secs(22 * 3600 + 1800);
/// A root of 20 days has ended, and the CA under it wants a successor.
const DAYS_21: Duration = Duration::from_secs(21 * 24 * 3600);
/// The CA of a day, which is all of a bundle, has ended.
const HOURS_25: Duration = Duration::from_secs(25 * 3600);
/// More than a sixtieth of 26 hours.
const MINUTES_30: Duration = Duration::from_secs(30 * 60);
/// More than a rule wants, however late Prometheus looks.
const TRANSFERS: usize = 24;
/// In one call.
const MANY_SVIDS: usize = 2500;
/// `SteepleEntryPropagationSlow` wants 30 s.
const LATE: Duration = Duration::from_secs(40);
/// `SteepleFollowerLagging` wants 10,000.
const MISSED_ENTRIES: u64 = 10_500;
const MISSED_MAX: Duration = Duration::from_secs(600);
const BACKUP_MAX: Duration = Duration::from_secs(90);
/// Twenty polls, 15 s apart, have to fail.
const STALE_MAX: Duration = Duration::from_secs(360);

/// Returns when it was undone, or its undoing began.
pub(super) async fn bring(scene: &Scene, place: &mut Place, board: &mut Board) -> anyhow::Result<Instant> {
    let (fault, alerts, began) = (scene.fault, scene.alerts, Instant::now());
    match scene.kind {
        Kind::AllDown => {
            for position in 0..place.site.size() {
                place.site.server(position).kill9().await?;
            }
            board.fired(began, fault, alerts).await;
        }
        Kind::EndpointGone => endpoint_gone(scene, place, board).await?,
        Kind::FollowerCutOff => {
            let (leader, follower) = (place.leader().await?, place.site.cluster.follower().await?);
            place.site.network.set_all_of(follower, Link::CUT);
            miss(place, leader).await?;
            board.fired(began, fault, alerts).await;
        }
        Kind::FullAudit => {
            let volume = place.audited().await?;
            volume.fill(100)?;
            board.fired(Instant::now(), fault, alerts).await;
            volume.empty()?;
        }
        Kind::FullDisk => {
            let volume = place.site.volume.as_ref().context("it needs root and a mount namespace")?;
            volume.fill(FILLED_PERCENT)?;
            board.fired(began, fault, alerts).await;
            volume.empty()?;
        }
        Kind::FullLeader => return full_leader(scene, place, board).await,
        Kind::LargeBatches => {
            place.node.ask_for(MANY_SVIDS);
            board.fired(began, fault, alerts).await;
            place.node.ask_for(1);
        }
        Kind::LateNode => {
            let _late = place.node.acknowledge_late(place.admin(0), LATE).await?;
            board.fired(began, fault, alerts).await;
        }
        Kind::LeaderMoves => {
            move_leader(place).await?;
            board.fired(began, fault, alerts).await;
        }
        Kind::LostEntry => {
            let follower = place.site.cluster.follower().await?;
            let server = place.site.server(follower);
            server.stop().await?;
            lose_an_entry(&server.data_dir())?;
            server.launch()?;
            board.fired(Instant::now(), fault, alerts).await;
            place.replace(follower).await?;
        }
        Kind::Neglected => return neglected(scene, place, board).await,
        Kind::OneDown => {
            let follower = place.site.cluster.follower().await?;
            place.site.server(follower).kill9().await?;
            board.fired(began, fault, alerts).await;
        }
        Kind::SecondCluster => {
            let (_server, port) = second_cluster(place).await?;
            let mut targets = place.targets();
            let label = targets[0].1.clone();
            targets.push((port.address(), label));
            board.prometheus().scrape(&targets)?;
            board.fired(Instant::now(), fault, alerts).await;
            board.prometheus().scrape(&place.targets())?;
        }
        Kind::SlowDisk => {
            let follower = place.site.cluster.follower().await?;
            place.site.disks[follower].slow_down_by(SLOW_SYNC)?;
            board.fired(began, fault, alerts).await;
            place.site.disks[follower].mend()?;
        }
        Kind::Storm => {
            let limited = place.site.cluster.follower().await?;
            place.reconfigure(limited, "attestation = false", "attestation = true").await?;
            place.site.server(limited).ready().await?;
            let (began, _crowd) = (Instant::now(), crowd::knock(place, limited).await?);
            board.fired(began, fault, alerts).await;
        }
        Kind::TimeRanAhead => time_ran_ahead(scene, place, board).await?,
        Kind::TwoDown => two_down(scene, place, board).await?,
    }
    Ok(Instant::now())
}

async fn move_leader(place: &Place) -> anyhow::Result<()> {
    for _ in 0..TRANSFERS {
        let leader = place.leader().await?;
        let next = (leader + 1) % place.site.size();
        let node_id = place.admin(next).status().await?.node_id;
        // Refused in the middle of an election, which is a change as well.
        let _ = place.admin(leader).cluster().transfer_leader(TransferLeaderRequest { node_id }).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// A follower that is cut off misses what is written in a hurry.
async fn miss(place: &Place, leader: usize) -> anyhow::Result<()> {
    let admin = place.admin(leader);
    let before = admin.status().await?.applied_index;
    let _crowd = crowd::hurry(&admin).await?;
    until("entries are written", MISSED_MAX, async || {
        let written = admin.status().await?.applied_index - before;
        ensure!(written >= MISSED_ENTRIES, "{written} of {MISSED_ENTRIES}");
        anyhow::Ok(())
    })
    .await
}

/// Only the replica on the small volume can lead, and it refuses what makes the state grow.
async fn full_leader(scene: &Scene, place: &mut Place, board: &mut Board) -> anyhow::Result<Instant> {
    let (at_once, later) = scene.alerts.split_at(1);
    let full = place.site.size() - 1;
    ensure!(place.site.volume.is_some(), "it needs root and a mount namespace");
    place.hand_over(full).await?;
    let began = Instant::now();
    for other in 0..full {
        place.reconfigure(other, "/sealing-key", "/missing-key").await?;
    }
    board.fired(began, scene.fault, at_once).await;
    let began = Instant::now();
    let volume = place.site.volume.as_ref().context("it was there")?;
    volume.fill(CRITICAL_PERCENT)?;
    board.fired(began, scene.fault, later).await;
    volume.empty()?;
    let undone = Instant::now();
    for other in 0..full {
        place.reconfigure(other, "/missing-key", "/sealing-key").await?;
    }
    Ok(undone)
}

/// A trust domain of one server that nobody looks after.
async fn neglected(scene: &Scene, place: &mut Place, board: &mut Board) -> anyhow::Result<Instant> {
    let (early, late) = scene.alerts.split_at(2);
    let kept = Kept::start(&place.site.binaries, place.dir(), Offset::Behind(MINUTES_30)).await?;
    until("a backup", BACKUP_MAX, async || kept.has_backup()).await?;
    kept.lose_backups()?;
    kept.neighbour.clock.set_right()?;
    // Only now, as its metrics were as old as its clock.
    place.kept = Some(kept);
    board.prometheus().scrape(&place.targets())?;
    let kept = place.kept.as_ref().context("it was started")?;
    board.fired(Instant::now(), scene.fault, early).await;
    let began = Instant::now();
    kept.neighbour.clock.set(Offset::Ahead(DAYS_21))?;
    board.fired(began, scene.fault, late).await;
    kept.heal()?;
    Ok(Instant::now())
}

/// The operator sets the time back.
async fn time_ran_ahead(scene: &Scene, place: &mut Place, board: &mut Board) -> anyhow::Result<()> {
    for clock in &place.site.clocks {
        clock.set(Offset::Ahead(MINUTES_10))?;
    }
    let leader = place.leader().await?;
    let mut cluster = place.admin(leader).cluster();
    let mut tell = async |apply| anyhow::Ok(cluster.reset_clock(ResetClockRequest { apply }).await?.into_inner());
    // Those who write take the log's time along.
    let right = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    until("the log's time is ahead", CLOCKS_MAX, async || {
        let replicated = tell(false).await?.replicated_ms;
        ensure!(replicated > right + MINUTES_10.as_millis() as i64 / 2, "it is {replicated}");
        Ok(())
    })
    .await?;
    for clock in &place.site.clocks {
        clock.set_right()?;
    }
    board.fired(Instant::now(), scene.fault, scene.alerts).await;
    let told = tell(true).await?;
    ensure!(told.ahead, "there was nothing to set back: {told:?}");
    Ok(())
}

async fn two_down(scene: &Scene, place: &mut Place, board: &mut Board) -> anyhow::Result<()> {
    let left = place.leader().await?;
    let began = Instant::now();
    for position in (0..place.site.size()).filter(|position| *position != left) {
        place.site.server(position).kill9().await?;
    }
    let (at_once, later) = scene.alerts.split_at(4);
    board.fired(began, scene.fault, at_once).await;
    let (late, of_authorities) = later.split_at(1);
    let began = Instant::now();
    // The run itself has taken minutes of the agents' hour.
    place.site.clocks[left].set(Offset::Ahead(MINUTES_55.saturating_sub(place.attested.elapsed())))?;
    board.fired(began, scene.fault, late).await;
    let began = Instant::now();
    place.site.clocks[left].set(Offset::Ahead(HOURS_22))?;
    board.fired(began, scene.fault, of_authorities).await;
    Ok(())
}

/// It went when the run began.
async fn endpoint_gone(scene: &Scene, place: &mut Place, board: &mut Board) -> anyhow::Result<()> {
    let federated = place.federated.as_mut().context("nobody federates")?;
    let (stale, expired) = scene.alerts.split_at(1);
    board.fired_within(federated.gone_at, STALE_MAX, scene.fault, stale).await;
    let began = Instant::now();
    federated.east.clock.set(Offset::Ahead(HOURS_25))?;
    board.fired(began, scene.fault, expired).await;
    federated.heal().await
}

async fn second_cluster(place: &Place) -> anyhow::Result<(Server, Port)> {
    let port = Port::reserve()?;
    let spec = ServerSpec {
        name: "another".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "INFO".to_owned(),
        env: Vec::new(),
    };
    let extra = ExtraLines { top: telemetry(&port), ..ExtraLines::default() };
    let mut server = Server::start_with(&place.site.binaries, place.dir(), &spec, &extra)?;
    server.ready().await?;
    Ok((server, port))
}
