//! Dashboards and alert rules in a real Prometheus that scrapes a real server and agent. `STEEPLE_PROMETHEUS` names the
//! program; without it this is not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use steeple_testkit::{Binaries, Port, Process, Scratch, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{DEPLOY, EVENT_MAX, serve_a_workload, single_server};

const PROGRAM: &str = "STEEPLE_PROMETHEUS";
/// How panels say that they may show nothing.
const MAY_BE_EMPTY: &str = "Empty until";
/// Agents are scraped here.
const OF_AGENTS: [&str; 2] = ["spire_agent_", "steeple_agent_"];

/// A running Prometheus.
struct Prometheus {
    port: Port,
    process: Process,
}

impl Prometheus {
    fn start(program: PathBuf, scratch: &Scratch, targets: &[&Port]) -> Self {
        let port = Port::reserve().expect("a free port");
        let rules = scratch.join("rules.yml");
        std::fs::write(&rules, sixty_times_quicker(&shipped("alerts/steeple.rules.yml"))).expect("a file");
        let addresses: Vec<String> = targets.iter().map(|port| format!("{:?}", port.address())).collect();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\nscrape_configs:\n  \
             - job_name: steeple\n    static_configs: [{{ targets: [{}] }}]\n",
            addresses.join(", ")
        );
        let path = scratch.join("prometheus.yml");
        std::fs::write(&path, config).expect("a file");
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", scratch.join("tsdb").display()));
        command.arg(format!("--web.listen-address={}", port.address()));
        let process = Process::start("prometheus", command, &scratch.join("prometheus.log")).expect("it starts");
        Self { port, process }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.port.address()).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let body: Value = serde_json::from_str(body)?;
        anyhow::ensure!(body["status"] == "success", "{path}: {body}");
        Ok(body["data"].clone())
    }

    /// How many series a query has now.
    async fn series(&self, query: &str) -> anyhow::Result<usize> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let data = self.get(&format!("/api/v1/query?query={encoded}")).await?;
        Ok(data["result"].as_array().map_or(0, Vec::len))
    }

    /// Names of the alerts that fire.
    async fn firing(&self) -> anyhow::Result<Vec<String>> {
        let alerts = self.get("/api/v1/alerts").await?["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        Ok(firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap_or_default().to_owned()).collect())
    }
}

fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEPLOY).join(path);
    std::fs::read_to_string(path).expect("a shipped file")
}

/// The rules with every duration of theirs divided by 60. Thresholds, which are parts of lifetimes, stay.
fn sixty_times_quicker(rules: &str) -> String {
    let quicker = |line: &str| match line.split_once("for: ") {
        Some((before, duration)) if before.trim().is_empty() => format!("{before}for: {}", divided(duration)),
        _ => {
            let mut parts = line.split('[');
            let first = parts.next().unwrap_or_default().to_owned();
            parts.fold(first, |line, part| match part.split_once(']') {
                Some((duration, rest)) if duration.starts_with(|c: char| c.is_ascii_digit()) => {
                    format!("{line}[{}]{rest}", divided(duration))
                }
                _ => format!("{line}[{part}"),
            })
        }
    };
    rules.lines().map(|line| quicker(line) + "\n").collect()
}

fn divided(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    match unit {
        "d" => format!("{}m", 24 * number.parse::<u32>().expect("a number")),
        "h" => format!("{number}m"),
        "m" => format!("{number}s"),
        other => panic!("{duration:?}: no duration in {other:?} so far"),
    }
}

/// The queries of a dashboard, and whether each may have no result.
fn queries(dashboard: &str) -> Vec<(String, bool)> {
    let dashboard: Value = serde_json::from_str(&shipped(dashboard)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let of = |panel: &Value| {
        let may_be_empty = panel["description"].as_str().is_some_and(|text| text.starts_with(MAY_BE_EMPTY));
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let text = |target: &Value| target["expr"].as_str().expect("a query").to_owned();
        let grafana = |query: String| query.replace("$__rate_interval", "10s").replace("$instance", ".*");
        targets.iter().map(|target| (grafana(text(target)), may_be_empty)).collect::<Vec<_>>()
    };
    panels.iter().flat_map(of).collect()
}

#[tokio::test]
async fn dashboards_show_something_and_alerts_fire_in_a_real_prometheus() {
    let Some(program) = std::env::var_os(PROGRAM).map(PathBuf::from) else {
        eprintln!("not run: {PROGRAM} is not set");
        return;
    };
    let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
    let (server, process) = single_server(&binaries, &scratch).await;
    let (agent, _agent_process) = serve_a_workload(&binaries, &scratch, &server).await;
    let prometheus = Prometheus::start(program, &scratch, &[&server.metrics, &agent.metrics]);

    let queries = [queries("dashboards/cluster.json"), queries("dashboards/identity.json")].concat();
    assert!(queries.len() > 40, "{}", queries.len());
    for (query, may_be_empty) in &queries {
        let shown = until(query, EVENT_MAX, async || match prometheus.series(query).await? {
            0 if !may_be_empty || OF_AGENTS.iter().any(|part| query.contains(part)) => anyhow::bail!("nothing"),
            _ => Ok(()),
        });
        shown.await.map_err(|error| prometheus.process.failure(&format!("{error:#}"))).expect("something");
    }

    let rules = prometheus.get("/api/v1/rules").await.expect("rules");
    let rules: Vec<&Value> = rules["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array())
        .flatten()
        .collect();
    assert_eq!(rules.len(), shipped("alerts/steeple.rules.yml").matches("- alert: ").count());
    for rule in rules {
        assert_eq!(rule["lastError"].as_str().unwrap_or_default(), "", "{rule}");
    }
    assert_eq!(prometheus.firing().await.expect("alerts"), [""; 0], "all is well");

    // Nobody watches the CA any more.
    drop(process);
    let fires = until("an alert", EVENT_MAX, async || {
        let firing = prometheus.firing().await?;
        anyhow::ensure!(firing.iter().any(|alert| alert == "SteepleCAMetricAbsent"), "{firing:?}");
        Ok(())
    });
    fires.await.expect("it fires");
}

#[test]
fn durations_are_divided_and_nothing_else() {
    let rules = "  for: 15m\n  expr: rate(a{x=\"1h\"}[5m]) > 300 and b[2d]\n";
    assert_eq!(sixty_times_quicker(rules), "  for: 15s\n  expr: rate(a{x=\"1h\"}[5s]) > 300 and b[48m]\n");
}
