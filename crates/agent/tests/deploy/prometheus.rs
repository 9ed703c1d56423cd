//! Dashboards and alert rules in a real Prometheus that scrapes a real server and agent. `STEEPLE_PROMETHEUS` names the
//! program, or `./x test alerts` has unpacked it; without one this is not run. That each rule fires: `./x alerts`.

use std::path::Path;

use serde_json::Value;
use steeple_testkit::{Binaries, Prometheus, Scratch, prometheus_program, sixty_times_quicker, until};

use crate::{DEPLOY, EVENT_MAX, serve_a_workload, single_server};

/// How panels say that they may show nothing.
const MAY_BE_EMPTY: &str = "Empty until";
/// Agents are scraped here.
const OF_AGENTS: [&str; 2] = ["spire_agent_", "steeple_agent_"];

fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEPLOY).join(path);
    std::fs::read_to_string(path).expect("a shipped file")
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
    let Some(program) = prometheus_program() else {
        eprintln!("not run: there is no Prometheus");
        return;
    };
    let (scratch, binaries) = (Scratch::new().expect("a directory"), Binaries::find().expect("the programs"));
    let (server, process) = single_server(&binaries, &scratch).await;
    let (agent, _agent_process) = serve_a_workload(&binaries, &scratch, &server).await;
    let rules = sixty_times_quicker(&shipped("alerts/steeple.rules.yml")).expect("rules");
    let prometheus = Prometheus::start(&program, scratch.path(), &rules).expect("it starts");
    let targets = [&server.metrics, &agent.metrics].map(|port| (port.address(), "one".to_owned()));
    prometheus.scrape(&targets).expect("targets");

    let queries = [queries("dashboards/cluster.json"), queries("dashboards/identity.json")].concat();
    assert!(queries.len() > 40, "{}", queries.len());
    for (query, may_be_empty) in &queries {
        let shown = until(query, EVENT_MAX, async || match prometheus.series(query).await? {
            0 if !may_be_empty || OF_AGENTS.iter().any(|part| query.contains(part)) => anyhow::bail!("nothing"),
            _ => Ok(()),
        });
        shown.await.map_err(|error| prometheus.process().failure(&format!("{error:#}"))).expect("something");
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
    let firing = prometheus.firing().await.expect("alerts");
    assert!(firing.is_empty(), "all is well: {firing:?}");

    // Nobody watches the CA any more.
    drop(process);
    let fires = until("an alert", EVENT_MAX, async || {
        let firing = prometheus.firing().await?;
        anyhow::ensure!(firing.iter().any(|alert| alert.name == "SteepleCAMetricAbsent"), "{firing:?}");
        Ok(())
    });
    fires.await.expect("it fires");
}
