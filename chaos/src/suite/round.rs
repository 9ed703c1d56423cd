//! One round: a cluster, load, agents, all faults, and what is to be said of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use steeple_testkit::{Admin, Dice};
use tokio::sync::watch;

use super::fault::{Fault, Need};
use super::options::Plan;
use super::report::{Expected, Report};
use super::restore::{RESTORE, restore};
use super::rotation;
use super::site::{Site, TRUST_DOMAIN};
use super::stage::Stage;
use super::workloads::Workloads;
use crate::faults::Volume;
use crate::journal;
use crate::register::{Clients, Line, Recorder};
use crate::sample::sample;

/// So many faults come before the rotation: replicas have not been restarted lately then, which it would wait for.
const ROTATION_AFTER: usize = 8;

/// Where a round's files go.
pub(super) struct Files {
    pub(super) history: PathBuf,
    /// For the servers' logs.
    pub(super) logs: PathBuf,
}

/// Plays the round and judges it by its history.
pub(super) async fn play(plan: &Plan, files: &Files) -> anyhow::Result<Report> {
    let mut site = Site::found(plan.replicas, plan.signing).await?;
    let recorder = Arc::new(Recorder::create(&files.history)?);
    let expected = Expected::of(plan, |need| match need {
        Need::Volume => site.volume.is_some(),
        Need::Disk => site.volume.as_ref().is_some_and(Volume::is_on_a_disk),
        Need::Namespaces => site.namespaces.is_some(),
    });
    let outcome = under_load(&mut site, plan, &recorder, &expected).await;
    keep_logs(&site, files)?;
    let history: Vec<Line> = journal::read(&files.history)?;
    let (updates, failure) = match outcome {
        Ok(updates) => (updates, None),
        Err(error) => (0, Some(format!("{error:#}"))),
    };
    Ok(Report::of(&history, &expected, updates, failure))
}

/// Returns how many updates the workloads were sent.
async fn under_load(
    site: &mut Site,
    plan: &Plan,
    recorder: &Arc<Recorder>,
    expected: &Expected,
) -> anyhow::Result<u64> {
    let workloads = Workloads::start(site, recorder).await.context("agents and workloads")?;
    let sockets = site.cluster.admin_sockets();
    let connect = || sockets.iter().map(|socket| Admin::at(socket)).collect::<Vec<_>>();
    let start = |first| Clients::start(connect, TRUST_DOMAIN, recorder, plan.seed, plan.rate, first);
    let mut clients = Some(start(0));
    let (stop, stopped) = watch::channel(false);
    let written = Arc::clone(recorder);
    let sampler =
        tokio::spawn(sample(connect(), stopped, move |position, index, hash| written.sample(position, index, hash)));
    let mut stage = Stage { site, recorder: Arc::clone(recorder), dice: Dice::new(plan.seed), hold: plan.hold };
    let began = Instant::now();
    let mut outcome = faults(&mut stage, plan, expected, began).await;
    if plan.restore
        && outcome.is_ok()
        && let Some(old) = clients.take()
    {
        match restore(&mut stage, old, &workloads, start, plan.shuffled).await.context("the restore") {
            Ok(new) => clients = Some(new),
            Err(error) => outcome = Err(error),
        }
        tell(&stage, began, RESTORE);
    }
    // The history ends in order, whatever the faults met.
    stop.send_replace(true);
    if let Some(clients) = clients {
        clients.stop().await?;
    }
    recorder.load_ended()?;
    sampler.await??;
    let updates = workloads.stop(recorder).await;
    recorder.flush()?;
    let updates = updates?;
    outcome?;
    Ok(updates)
}

async fn faults(stage: &mut Stage<'_>, plan: &Plan, expected: &Expected, began: Instant) -> anyhow::Result<()> {
    let mut order: Vec<Fault> = plan.faults.iter().copied().filter(|fault| expected.includes(*fault)).collect();
    if plan.shuffled {
        for at in (1..order.len()).rev() {
            order.swap(at, stage.dice.below(at as u64 + 1) as usize);
        }
    }
    let before_rotation = ROTATION_AFTER.min(order.len());
    for (at, fault) in order.iter().enumerate() {
        if at == before_rotation && plan.rotation {
            rotate(stage, plan, began).await?;
        }
        stage.undergo(*fault).await?;
        tell(stage, began, fault.name());
    }
    if before_rotation == order.len() && plan.rotation {
        rotate(stage, plan, began).await?;
    }
    Ok(())
}

async fn rotate(stage: &mut Stage<'_>, plan: &Plan, began: Instant) -> anyhow::Result<()> {
    rotation::rotate(stage, plan.seed).await.context("the rotation")?;
    tell(stage, began, "rotation");
    Ok(())
}

fn tell(stage: &Stage<'_>, began: Instant, what: &str) {
    println!("{:>6.0} s  {what}, {} calls answered", began.elapsed().as_secs_f64(), stage.recorder.successes());
}

fn keep_logs(site: &Site, files: &Files) -> anyhow::Result<()> {
    std::fs::create_dir_all(&files.logs)?;
    for server in &site.cluster.servers {
        let log = files.logs.join(format!("{}.log", server.name()));
        std::fs::copy(server.log(), &log).with_context(|| format!("cannot keep {}", log.display()))?;
    }
    Ok(())
}
