//! What is measured.

use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use steeple_api::types;

use super::backup::backup_and_restore;
use super::figure::Figure;
use super::scene::{Scene, TRUST_DOMAIN};
use crate::usage::resident_bytes;

/// A figure that can be asked for by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    ServerRss,
    AgentRss,
    FirstStart,
    Restart,
    #[value(name = "backup-restore-100k")]
    #[serde(rename = "backup-restore-100k")]
    BackupRestore100k,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Each on a fresh server.
    pub runs: usize,
}

/// Takes one measure several times.
pub async fn measure(measure: Measure, options: Options) -> anyhow::Result<Figure> {
    let mut values = Vec::with_capacity(options.runs);
    for _ in 0..options.runs {
        let value = once(measure).await.with_context(|| measure.name())?;
        values.push(value);
    }
    Ok(Figure::of(measure, values))
}

async fn once(measure: Measure) -> anyhow::Result<f64> {
    let mut scene = Scene::new().await?;
    let pid = scene.server_pid()?;
    match measure {
        Measure::ServerRss => {
            Scene::settle().await;
            mebibytes(pid)
        }
        Measure::AgentRss => {
            let agent = scene.agent().await?;
            Scene::settle().await;
            mebibytes(agent.process().pid())
        }
        Measure::FirstStart => Ok(milliseconds(scene.start_to_ready)),
        Measure::Restart => Ok(milliseconds(scene.restart().await?)),
        Measure::BackupRestore100k => Ok(backup_and_restore(&mut scene, BACKED_UP_ENTRIES, entry).await?.as_secs_f64()),
    }
}

fn entry(number: u64) -> types::Entry {
    let id = |path: String| Some(types::Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path });
    types::Entry {
        spiffe_id: id(format!("/workload/{number}")),
        parent_id: id(format!("/node/{}", number / 100)),
        selectors: vec![types::Selector { r#type: "unix".to_owned(), value: format!("uid:{number}") }],
        ..types::Entry::default()
    }
}

fn mebibytes(pid: i32) -> anyhow::Result<f64> {
    Ok(resident_bytes(pid)? as f64 / f64::from(1 << 20))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Measure {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ServerRss => "server-rss",
            Self::AgentRss => "agent-rss",
            Self::FirstStart => "first-start",
            Self::Restart => "restart",
            Self::BackupRestore100k => "backup-restore-100k",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ServerRss => "resident memory of an idle server",
            Self::AgentRss => "resident memory of an idle agent",
            Self::FirstStart => "first start to ready, keys made",
            Self::Restart => "start to ready on its data",
            Self::BackupRestore100k => "100,000 entries backed up and restored",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::ServerRss | Self::AgentRss => "MiB",
            Self::FirstStart | Self::Restart => "ms",
            Self::BackupRestore100k => "s",
        }
    }
}

const BACKED_UP_ENTRIES: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_asked_for_by_the_name_that_is_printed() {
        for measure in Measure::value_variants() {
            assert_eq!(Measure::from_str(measure.name(), false), Ok(*measure));
            assert_eq!(serde_json::to_value(measure).unwrap(), measure.name());
        }
    }
}
