//! What is measured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use rcgen::KeyPair;
use serde::Serialize;
use steeple_api::server::svid::NewX509svidParams;
use steeple_api::types;
use steeple_testkit::Admin;
use tonic::transport::Channel;

use super::backup::backup_and_restore;
use super::closed::{Done, closed_loop};
use super::figure::Figure;
use super::node::{Node, csr, new_jwt_svid, new_x509_svids};
use super::scene::{Scene, TRUST_DOMAIN};
use super::usage::{cpu_seconds, resident_bytes};

/// A figure that can be asked for by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    ServerRss,
    AgentRss,
    FirstStart,
    Restart,
    #[value(name = "creates-1")]
    #[serde(rename = "creates-1")]
    Creates1,
    #[value(name = "creates-64")]
    #[serde(rename = "creates-64")]
    Creates64,
    X509Issues,
    #[value(name = "x509-issues-100")]
    #[serde(rename = "x509-issues-100")]
    X509Issues100,
    JwtIssues,
    #[value(name = "backup-restore-100k")]
    #[serde(rename = "backup-restore-100k")]
    BackupRestore100k,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Each on a fresh server.
    pub runs: usize,
    /// How long load is applied.
    pub duration: Duration,
}

/// Takes one measure several times.
pub async fn measure(measure: Measure, options: Options) -> anyhow::Result<Figure> {
    let mut values = Vec::with_capacity(options.runs);
    for _ in 0..options.runs {
        let value = once(measure, options.duration).await.with_context(|| measure.name())?;
        values.push(value);
    }
    Ok(Figure::of(measure, options, values))
}

async fn once(measure: Measure, duration: Duration) -> anyhow::Result<f64> {
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
        Measure::Creates1 => Ok(creates(&scene, 1, duration).await?.per_second()),
        Measure::Creates64 => Ok(creates(&scene, 64, duration).await?.per_second()),
        Measure::X509Issues => x509_issues(&scene, 1, duration).await,
        Measure::X509Issues100 => x509_issues(&scene, 100, duration).await,
        Measure::JwtIssues => {
            let (node, params) = node_with_entries(&scene, 1).await?;
            let entry_id = params.into_iter().next().map(|first| first.entry_id).context("no entry")?;
            issues(&scene, &node, 1, duration, move |channel| new_jwt_svid(channel, entry_id.clone())).await
        }
        Measure::BackupRestore100k => Ok(backup_and_restore(&mut scene, BACKED_UP_ENTRIES, entry).await?.as_secs_f64()),
    }
}

/// One entry a call, over as many connections as writers, up to what one user may open.
async fn creates(scene: &Scene, writers: usize, duration: Duration) -> anyhow::Result<Done> {
    let connections: Vec<Admin> =
        (0..writers.min(CONNECTIONS_MAX)).map(|_| Admin::at(&scene.server.admin_socket())).collect();
    let clients = (0..writers).map(|writer| {
        let admin = connections[writer % connections.len()].clone();
        move |number| {
            let admin = admin.clone();
            async move { admin.create_entry(entry(number)).await.map(|_| ()) }
        }
    });
    closed_loop(clients.collect(), duration).await
}

async fn x509_issues(scene: &Scene, batch: usize, duration: Duration) -> anyhow::Result<f64> {
    let (node, params) = node_with_entries(scene, batch).await?;
    issues(scene, &node, batch, duration, move |channel| new_x509_svids(channel, params.clone())).await
}

/// An attested agent with entries that it may have SVIDs for, and a CSR with a key of its own for each.
async fn node_with_entries(scene: &Scene, entries: usize) -> anyhow::Result<(Node, Vec<NewX509svidParams>)> {
    let node = Node::attest(&scene.server).await?;
    let mut params = Vec::with_capacity(entries);
    for number in 0..entries as u64 {
        let entry = types::Entry { parent_id: Some(node.id.clone()), ..entry(number) };
        let entry_id = scene.server.admin().create_entry(entry).await?.id;
        let csr = csr(&KeyPair::generate()?, &format!("spiffe://{TRUST_DOMAIN}/workload/{number}"))?;
        params.push(NewX509svidParams { entry_id, csr });
    }
    Ok((node, params))
}

/// Issues for each second of CPU that the server used, with enough calls open to keep it busy. `batch` are in a call.
async fn issues<F, Fut>(scene: &Scene, node: &Node, batch: usize, duration: Duration, issue: F) -> anyhow::Result<f64>
where
    F: Fn(Channel) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    let (pid, issue) = (scene.server_pid()?, Arc::new(issue));
    let mut clients = Vec::with_capacity(ISSUE_CLIENTS);
    for _ in 0..ISSUE_CLIENTS {
        let (channel, issue) = (node.connect()?, Arc::clone(&issue));
        // The handshake is not what is measured.
        issue(channel.clone()).await?;
        clients.push(move |_| issue(channel.clone()));
    }
    let before = cpu_seconds(pid)?;
    let done = closed_loop(clients, duration).await?;
    Ok(done.calls as f64 * batch as f64 / (cpu_seconds(pid)? - before))
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
            Self::Creates1 => "creates-1",
            Self::Creates64 => "creates-64",
            Self::X509Issues => "x509-issues",
            Self::X509Issues100 => "x509-issues-100",
            Self::JwtIssues => "jwt-issues",
            Self::BackupRestore100k => "backup-restore-100k",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ServerRss => "resident memory of an idle server",
            Self::AgentRss => "resident memory of an idle agent",
            Self::FirstStart => "first start to ready, keys made",
            Self::Restart => "start to ready on its data",
            Self::Creates1 => "entry creates, 1 writer",
            Self::Creates64 => "entry creates, 64 writers",
            Self::X509Issues => "X.509-SVIDs issued, BatchNewX509SVID of 1",
            Self::X509Issues100 => "X.509-SVIDs issued, BatchNewX509SVID of 100",
            Self::JwtIssues => "JWT-SVIDs issued, NewJWTSVID",
            Self::BackupRestore100k => "100,000 entries backed up and restored",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::ServerRss | Self::AgentRss => "MiB",
            Self::FirstStart | Self::Restart => "ms",
            Self::Creates1 | Self::Creates64 => "a second",
            Self::X509Issues | Self::X509Issues100 | Self::JwtIssues => "a CPU-second",
            Self::BackupRestore100k => "s",
        }
    }
}

/// Of the 64 that the admin socket takes from one user.
const CONNECTIONS_MAX: usize = 32;
const ISSUE_CLIENTS: usize = 8;
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
