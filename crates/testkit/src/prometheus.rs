//! A real Prometheus with alert rules, that scrapes and evaluates every second.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Port, Process};

/// Names the program.
const PROGRAM: &str = "STEEPLE_PROMETHEUS";

#[derive(Debug)]
pub struct Prometheus {
    port: Port,
    targets: PathBuf,
    process: Process,
}

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    pub name: String,
    /// Of the expression, as Prometheus writes it.
    pub value: String,
}

/// Prometheus, as `STEEPLE_PROMETHEUS` names it or as `./x test alerts` has unpacked it; promtool lies beside it.
pub fn prometheus_program() -> Option<PathBuf> {
    let unpacked = || Some(PathBuf::from(std::env::var_os("STEEPLE_CACHE")?).join("prometheus/usr/bin/prometheus"));
    std::env::var_os(PROGRAM).map(PathBuf::from).or_else(unpacked).filter(|program| program.is_file())
}

impl Prometheus {
    /// Everything of it is in `dir`. promtool has to accept `rules`. Nothing is scraped before [`Prometheus::scrape`].
    pub fn start(program: &Path, dir: &Path, rules: &str) -> anyhow::Result<Self> {
        let (port, targets, file) = (Port::reserve()?, dir.join("targets.json"), dir.join("rules.yml"));
        std::fs::write(&file, rules)?;
        let mut check = Command::new(program.with_file_name("promtool"));
        let checked = check.args(["check", "rules"]).arg(&file).output().context("cannot run promtool")?;
        ensure!(checked.status.success(), "promtool: {}", String::from_utf8_lossy(&checked.stderr));
        std::fs::write(&targets, "[]")?;
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [{file:?}]\n\
             scrape_configs:\n  - job_name: steeple\n    \
             file_sd_configs: [{{ files: [{targets:?}], refresh_interval: 1s }}]\n"
        );
        let path = dir.join("prometheus.yml");
        std::fs::write(&path, config)?;
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("tsdb").display()));
        command.arg(format!("--web.listen-address={}", port.address()));
        let process = Process::start("prometheus", command, &dir.join("prometheus.log"))?;
        Ok(Self { port, targets, process })
    }

    /// From now on these, `host:port`, each with the label `cluster`.
    pub fn scrape(&self, targets: &[(String, String)]) -> anyhow::Result<()> {
        let groups: Vec<Value> = targets.iter().map(|(address, cluster)| group(address, cluster)).collect();
        // Renamed, so that no half of it is read.
        let new = self.targets.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&groups)?)?;
        std::fs::rename(new, &self.targets)?;
        Ok(())
    }

    /// `data` of the answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.port.address()).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let body: Value = serde_json::from_str(body)?;
        ensure!(body["status"] == "success", "{path}: {body}");
        Ok(body["data"].clone())
    }

    /// How many series a query has now.
    pub async fn series(&self, query: &str) -> anyhow::Result<usize> {
        Ok(self.query(query).await?.len())
    }

    /// The value of its first series.
    pub async fn value(&self, query: &str) -> anyhow::Result<f64> {
        let series = self.query(query).await?;
        let value = series.first().and_then(|first| first["value"][1].as_str()).context("no series")?;
        value.parse().with_context(|| format!("{value:?} is no number"))
    }

    async fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.get(&format!("/api/v1/query?query={encoded}")).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    pub async fn firing(&self) -> anyhow::Result<Vec<Firing>> {
        let alerts = self.get("/api/v1/alerts").await?["alerts"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        Ok(firing.map(|a| Firing { name: text(&a["labels"]["alertname"]), value: text(&a["value"]) }).collect())
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// As file_sd_configs has it.
fn group(address: &str, cluster: &str) -> Value {
    serde_json::json!({ "targets": [address], "labels": { "cluster": cluster } })
}
