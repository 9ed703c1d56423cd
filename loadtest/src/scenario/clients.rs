//! Writers and issuers at a steady rate through any replica, and what they achieved.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use parking_lot::Mutex;
use steeple_api::server::entry::BatchCreateEntryRequest;
use steeple_api::types;
use steeple_testkit::Admin;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tonic::Code;

use super::issuers::Issuers;
use crate::gates::read_back;
use crate::load::longest_gap;
use crate::report::{Reading, Report};
use crate::target::{Target, Wanted};

#[derive(Args, Clone, Debug)]
pub struct ClientsArgs {
    /// Clients of each kind.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub clients: u16,
    /// Calls a second of each client.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub rate: u16,
}

/// At work until they are stopped.
pub(super) struct Clients {
    story: Arc<Story>,
    issuers: Arc<Issuers>,
    tasks: JoinSet<()>,
}

/// What clients share.
struct Story {
    began: Instant,
    writes: Mutex<Diary>,
    issues: Mutex<Diary>,
    acknowledged: Mutex<Vec<String>>,
    trust_domain: String,
}

/// What clients of one kind achieved.
#[derive(Default)]
struct Diary {
    /// By client, from the beginning.
    successes: BTreeMap<usize, Vec<Duration>>,
    failures: BTreeMap<String, u64>,
    /// Nothing did it in [`PATIENCE`], through any replica.
    given_up: u64,
}

impl ClientsArgs {
    pub(super) fn shown(&self) -> String {
        format!("--clients {} --rate {}", self.clients, self.rate)
    }
}

impl Clients {
    pub(super) async fn start(target: &Target, args: &ClientsArgs) -> anyhow::Result<Self> {
        let clients = usize::from(args.clients);
        let issuers = Issuers::set_up(target, clients, ENTRIES).await?;
        let story = Arc::new(Story {
            began: Instant::now(),
            writes: Mutex::default(),
            issues: Mutex::default(),
            acknowledged: Mutex::default(),
            trust_domain: target.trust_domain().name().to_owned(),
        });
        let pause = Duration::from_secs(1) / u32::from(args.rate);
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            tasks.spawn(Arc::clone(&story).write(client, target.admins(), pause));
            tasks.spawn(Arc::clone(&story).issue(client, Arc::clone(&issuers), pause));
        }
        Ok(Self { story, issuers, tasks })
    }

    /// Since they began.
    pub(super) fn elapsed(&self) -> Duration {
        self.story.began.elapsed()
    }

    /// The longest time without an acknowledged write between two instants since they began.
    pub(super) fn write_gap(&self, from: Duration, to: Duration) -> Duration {
        self.story.writes.lock().gap(from, to)
    }

    /// Ends them, and reports what they achieved and whether it lasted.
    pub(super) async fn report(mut self, target: &Target, report: &mut Report) -> anyhow::Result<()> {
        let end = self.elapsed();
        self.tasks.shutdown().await;
        for (name, diary) in [("writes", &self.story.writes), ("issues", &self.story.issues)] {
            let diary = std::mem::take(&mut *diary.lock());
            report.readings.extend(diary.readings(name, end));
        }
        target.progress.step("reading back", 0);
        report.gates.extend(self.issuers.check.gates());
        let acknowledged = std::mem::take(&mut *self.story.acknowledged.lock());
        report.gates.push(read_back(&target.admin()?, &acknowledged).await?);
        Ok(())
    }
}

impl Story {
    async fn write(self: Arc<Self>, client: usize, replicas: Vec<Admin>, pause: Duration) {
        let (mut ticks, mut replica) = (ticks(pause), client);
        for number in 0_u64.. {
            ticks.tick().await;
            let begun = Instant::now();
            let parent = types::Spiffeid { trust_domain: self.trust_domain.clone(), path: format!("/writer/{client}") };
            let entry = Wanted { path: format!("/written/{client}/{number}"), parent }.entry();
            // Repeated until it is acknowledged: what is there already was written by an attempt without an answer.
            // Whoever has no answer turns to another replica.
            loop {
                let admin = &replicas[replica % replicas.len()];
                match in_time(write(admin, entry.clone())).await {
                    Ok(id) => {
                        self.acknowledged.lock().push(id);
                        self.writes.lock().succeeded(client, self.began.elapsed(), begun);
                        break;
                    }
                    Err(error) => self.writes.lock().failed(&error),
                }
                replica += 1;
                sleep(RETRY).await;
            }
        }
    }

    async fn issue(self: Arc<Self>, client: usize, issuers: Arc<Issuers>, pause: Duration) {
        let mut ticks = ticks(pause);
        for number in 0.. {
            ticks.tick().await;
            let begun = Instant::now();
            while let Err(error) = in_time(issuers.x509(issuers.of_agent(client, number), 1)).await {
                self.issues.lock().failed(&error);
                issuers.agents[client].turn_away();
                sleep(RETRY).await;
            }
            self.issues.lock().succeeded(client, self.began.elapsed(), begun);
        }
    }
}

impl Diary {
    fn succeeded(&mut self, client: usize, at: Duration, begun: Instant) {
        self.successes.entry(client).or_default().push(at);
        self.given_up += u64::from(begun.elapsed() > PATIENCE);
    }

    fn failed(&mut self, error: &anyhow::Error) {
        let code = error.downcast_ref::<tonic::Status>().map(|status| format!("{:?}", status.code()));
        *self.failures.entry(code.unwrap_or_else(|| error.to_string())).or_default() += 1;
    }

    fn gap(&self, from: Duration, to: Duration) -> Duration {
        let within = self.successes.values().flatten().filter(|at| (from..=to).contains(*at));
        longest_gap(within.map(|at| *at - from).collect(), to.saturating_sub(from)).0
    }

    fn readings(self, name: &str, end: Duration) -> Vec<Reading> {
        let all: Vec<Duration> = self.successes.values().flatten().copied().collect();
        let count = all.len() as f64;
        let (gap, _) = longest_gap(all, end);
        let of_one = self.successes.into_values().map(|successes| longest_gap(successes, end).0).max();
        let failures: u64 = self.failures.values().sum();
        let milliseconds = |gap: Duration| gap.as_secs_f64() * 1e3;
        let mut readings = vec![
            Reading::less(format!("{name}: longest gap of all clients together"), milliseconds(gap), "ms"),
            Reading::less(format!("{name}: longest gap of one client"), milliseconds(of_one.unwrap_or(end)), "ms"),
            Reading::less(format!("{name}: not done in {} s", PATIENCE.as_secs()), self.given_up as f64, ""),
            Reading::less(format!("{name}: attempts that failed"), failures as f64, ""),
            Reading::fact(format!("{name}: done"), count, ""),
        ];
        let of_code = |(code, count): (String, u64)| Reading::fact(format!("{name}: {code}"), count as f64, "");
        readings.extend(self.failures.into_iter().map(of_code));
        readings
    }
}

async fn write(admin: &Admin, entry: types::Entry) -> anyhow::Result<String> {
    let request = BatchCreateEntryRequest { entries: vec![entry], output_mask: None };
    let results = admin.entries().batch_create_entry(request).await?.into_inner().results;
    let result = results.into_iter().next().context("no result for the entry")?;
    let status = result.status.unwrap_or_default();
    let is_there = matches!(Code::from(status.code), Code::Ok | Code::AlreadyExists);
    ensure!(is_there, "an entry was refused (code {})", status.code);
    Ok(result.entry.context("a created entry was not returned")?.id)
}

async fn in_time<T>(call: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(CALL_MAX, call).await.context("no answer in time")?
}

fn ticks(pause: Duration) -> tokio::time::Interval {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

const ENTRIES: usize = 10;
const CALL_MAX: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);
/// As our agents give a server up.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_of_one_client_is_not_hidden_by_the_others() {
        let mut diary = Diary::default();
        let seconds = Duration::from_secs;
        for second in 0..10 {
            diary.succeeded(0, seconds(second), Instant::now());
        }
        diary.succeeded(1, seconds(1), Instant::now());
        diary.failed(&anyhow::anyhow!("gone"));
        assert_eq!(diary.gap(seconds(3), seconds(5)), seconds(1));
        assert_eq!(diary.gap(seconds(9), seconds(12)), seconds(3));
        let values: Vec<f64> = diary.readings("writes", seconds(10)).iter().map(|row| row.value).collect();
        assert_eq!(values, [1_000.0, 9_000.0, 0.0, 1.0, 11.0, 1.0]);
    }
}
