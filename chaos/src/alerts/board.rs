//! What fired, after how long, and what brought it about.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use steeple_testkit::{Prometheus, until};
use tokio::time::Instant;

/// The longest rule is due 15 s after its condition holds, which may take a range of a minute to show.
const FIRES_MAX: Duration = Duration::from_secs(100);
const RESOLVES_MAX: Duration = Duration::from_secs(100);

#[derive(Clone, Debug, Serialize)]
pub(super) struct Seen {
    fault: String,
    seconds_until_firing: f64,
    value: String,
    seconds_until_resolved: Option<f64>,
}

pub(super) struct Board {
    prometheus: Prometheus,
    wanted: BTreeSet<String>,
    seen: BTreeMap<String, Seen>,
    findings: Vec<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    passed: bool,
    seen: &'a BTreeMap<String, Seen>,
    not_seen: Vec<&'a String>,
    findings: &'a [String],
}

impl Board {
    pub(super) fn new(prometheus: Prometheus, wanted: BTreeSet<String>) -> Self {
        Self { prometheus, wanted, seen: BTreeMap::new(), findings: Vec::new() }
    }

    pub(super) fn prometheus(&self) -> &Prometheus {
        &self.prometheus
    }

    pub(super) fn wants_any(&self, alerts: &[&str]) -> bool {
        alerts.iter().any(|alert| self.wanted.contains(*alert))
    }

    /// For `lasting` no rule may fire.
    pub(super) async fn quiet(&mut self, lasting: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + lasting;
        let mut names = BTreeSet::new();
        while Instant::now() < end {
            names.extend(self.prometheus.firing().await?.into_iter().map(|firing| firing.name));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("  nothing wrong for {} s: {} rules fired", lasting.as_secs(), names.len());
        self.findings.extend(names.into_iter().map(|name| format!("{name} fired while nothing was wrong")));
        Ok(())
    }

    /// None of `alerts` may fire before its fault; what an earlier one left behind is waited for.
    pub(super) async fn calm(&mut self, alerts: &[&str]) {
        for alert in alerts {
            if let Err(error) = self.is_silent(alert).await {
                self.finding(format!("{alert} fires before its fault: {error:#}"));
            }
        }
    }

    /// Waits for each of `alerts` to fire; what does not is a line of the report.
    pub(super) async fn fired(&mut self, began: Instant, fault: &str, alerts: &[&str]) {
        self.fired_within(began, FIRES_MAX, fault, alerts).await;
    }

    /// As [`Board::fired`], with more patience.
    pub(super) async fn fired_within(&mut self, began: Instant, bound: Duration, fault: &str, alerts: &[&str]) {
        for alert in alerts.iter().filter(|alert| self.wanted.contains(**alert)) {
            let firing = until(alert, bound, async || {
                let firing = self.prometheus.firing().await?;
                let found = firing.into_iter().find(|firing| firing.name == *alert);
                found.ok_or_else(|| anyhow::anyhow!("it does not fire"))
            });
            match firing.await {
                Ok(firing) => {
                    let seconds = self.seconds_until_firing(alert, began).await;
                    println!("  {alert:<42} fires after {seconds:>5.1} s at {}: {fault}", firing.value);
                    let (fault, value) = (fault.to_owned(), firing.value);
                    let seen = Seen { fault, seconds_until_firing: seconds, value, seconds_until_resolved: None };
                    self.seen.insert((*alert).to_owned(), seen);
                }
                Err(error) => println!("  {alert:<42} NOT SEEN: {error:#}"),
            }
        }
    }

    /// By the first sample of the alert since `began`, as it may have fired for minutes before anybody looked.
    async fn seconds_until_firing(&self, alert: &str, began: Instant) -> f64 {
        let elapsed = began.elapsed().as_secs_f64();
        let fires = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        let range = format!("[{}s:1s]", began.elapsed().as_secs().max(1));
        let since = self.prometheus.value(&format!("max(time() - min_over_time(timestamp({fires}){range}))")).await;
        (elapsed - since.unwrap_or(0.0)).max(0.0)
    }

    async fn is_silent(&self, alert: &str) -> anyhow::Result<()> {
        until(alert, RESOLVES_MAX, async || {
            let fires = self.prometheus.firing().await?.iter().any(|firing| firing.name == alert);
            anyhow::ensure!(!fires, "it still fires");
            anyhow::Ok(())
        })
        .await
    }

    /// Waits until none of `alerts` fires any more.
    pub(super) async fn resolved(&mut self, began: Instant, alerts: &[&str]) {
        for alert in alerts {
            match (self.is_silent(alert).await, self.seen.get_mut(*alert)) {
                (Ok(()), Some(seen)) => seen.seconds_until_resolved = Some(began.elapsed().as_secs_f64()),
                (Ok(()), None) => {}
                (Err(_), _) => self.finding(format!("{alert} fires although the fault is undone")),
            }
        }
    }

    pub(super) fn finding(&mut self, text: String) {
        println!("  ! {text}");
        self.findings.push(text);
    }

    /// Whether all that was wanted was seen, and nothing else was wrong.
    pub(super) fn report(&self, path: &Path) -> anyhow::Result<bool> {
        let not_seen: Vec<&String> = self.wanted.iter().filter(|alert| !self.seen.contains_key(*alert)).collect();
        let passed = not_seen.is_empty() && self.findings.is_empty();
        println!("  {} of {} alerts were seen firing", self.seen.len(), self.wanted.len());
        for alert in &not_seen {
            println!("  ! {alert} was not seen");
        }
        for finding in &self.findings {
            println!("  ! {finding}");
        }
        let report = Report { passed, seen: &self.seen, not_seen, findings: &self.findings };
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
        Ok(passed)
    }
}
