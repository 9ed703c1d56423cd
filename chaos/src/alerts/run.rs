//! From the rules to the report.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use steeple_testkit::{Prometheus, prometheus_program, sixty_times_quicker, until};

use super::board::Board;
use super::neighbour::Federated;
use super::place::Place;
use super::scene::{Kind, LEFT_OUT, SCENES};
use crate::out_dir::out_dir;

const RULES: &str = include_str!("../../../deploy/alerts/steeple.rules.yml");
/// Longer than the longest `for` of the quickened rules.
const QUIET: Duration = Duration::from_secs(30);
const STARTED_MAX: Duration = Duration::from_secs(60);

#[derive(Args, Clone, Debug)]
pub struct AlertsArgs {
    /// Only these alerts.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// Where report.json is written; beside the folder of this program by default.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub async fn run(args: AlertsArgs) -> anyhow::Result<()> {
    let program = prometheus_program()
        .context("no Prometheus: `./x test alerts` unpacks one, or name the program in STEEPLE_PROMETHEUS")?;
    let dir = out_dir(args.out, "alerts")?;
    let wanted = wanted(&args.only)?;
    let mut place = Place::found().await?;
    let prometheus = Prometheus::start(&program, place.dir(), &sixty_times_quicker(RULES)?)?;
    prometheus.scrape(&place.targets())?;
    until("Prometheus answers", STARTED_MAX, async || prometheus.firing().await).await?;
    let mut board = Board::new(prometheus, wanted);
    board.quiet(QUIET).await?;
    let scenes: Vec<_> = SCENES.iter().filter(|scene| board.wants_any(scene.alerts)).collect();
    if scenes.iter().any(|scene| scene.kind == Kind::EndpointGone) {
        // It takes five minutes to be noticed, in which the other scenes are played.
        place.federated = Some(Federated::start(&place.site.binaries, place.dir()).await?);
        board.prometheus().scrape(&place.targets())?;
    }
    for scene in scenes {
        println!("{}", scene.fault);
        if let Err(error) = scene.play(&mut place, &mut board).await {
            board.finding(format!("{}: {error:#}", scene.fault));
        }
    }
    ensure!(board.report(&dir.join("report.json"))?, "see {}", dir.join("report.json").display());
    Ok(())
}

fn wanted(only: &[String]) -> anyhow::Result<BTreeSet<String>> {
    let all: BTreeSet<String> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    if only.is_empty() {
        return Ok(all.into_iter().filter(|alert| LEFT_OUT.iter().all(|(left_out, _)| left_out != alert)).collect());
    }
    for name in only {
        ensure!(all.contains(name), "{name} is no alert");
    }
    Ok(only.iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_one_scene_or_a_reason_to_have_none() {
        let all: BTreeSet<&str> = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        let of_scenes = SCENES.iter().flat_map(|scene| scene.alerts).copied();
        let promised: Vec<&str> = of_scenes.chain(LEFT_OUT.iter().map(|(alert, _)| *alert)).collect();
        assert_eq!(promised.len(), all.len(), "{promised:?}");
        assert_eq!(promised.into_iter().collect::<BTreeSet<_>>(), all);
        assert!(wanted(&["SteepleNothing".to_owned()]).is_err());
    }
}
