//! A replica killed under writers and issuers.

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
use crate::report::{Reading, Report, Window};
use crate::target::{Options, Target, Wanted};

/// 4 writers and 4 issuers, each at 20 calls a second through any replica, for 30 s. After a third of the time the
/// leader is killed with SIGKILL, after another third it is started again; a single server is started at once. The
/// longest gaps, and whether any acknowledged write is lost. Use --replicas 3. W12.
#[derive(Args, Clone, Debug)]
pub struct FailoverArgs {
    /// Calls a second of each client.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub rate: u16,
}

/// What clients of one kind achieved.
#[derive(Default)]
struct Diary {
    /// By client, from the beginning.
    successes: BTreeMap<usize, Vec<Duration>>,
    failures: BTreeMap<String, u64>,
}

/// What clients share.
struct Story {
    began: Instant,
    writes: Mutex<Diary>,
    issues: Mutex<Diary>,
    acknowledged: Mutex<Vec<String>>,
    trust_domain: String,
}

pub(crate) async fn run(options: &Options, args: &FailoverArgs) -> anyhow::Result<Report> {
    let duration = options.seconds(SECONDS)?;
    let mut target = Target::start(options).await?;
    target.started()?;
    let issuers = Issuers::set_up(&target, CLIENTS, ENTRIES).await?;
    let story = Arc::new(Story {
        began: Instant::now(),
        writes: Mutex::default(),
        issues: Mutex::default(),
        acknowledged: Mutex::default(),
        trust_domain: target.trust_domain().name().to_owned(),
    });
    let pause = Duration::from_secs(1) / u32::from(args.rate);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(Arc::clone(&story).write(client, target.admins(), pause));
        clients.spawn(Arc::clone(&story).issue(client, Arc::clone(&issuers), pause));
    }

    target.progress.step(format!("writing and issuing for {:?}", duration / 3), 0);
    let window = Window::open("before the kill", target.pids())?;
    sleep(duration / 3).await;
    let usage = window.close()?;
    let killed = kill(&mut target).await?;
    sleep(duration / 3).await;
    bring_back(&mut target, killed).await?;
    sleep((story.began + duration).saturating_duration_since(Instant::now())).await;
    let end = story.began.elapsed();
    clients.shutdown().await;

    let shown = format!("--seconds {} --rate {}", duration.as_secs(), args.rate);
    let mut report = target.report("failover", &shown);
    for (name, diary) in [("writes", &story.writes), ("issues", &story.issues)] {
        let diary = std::mem::take(&mut *diary.lock());
        report.readings.extend(diary.readings(name, end));
    }
    report.windows.push(usage);
    target.progress.step("reading back", 0);
    report.gates.extend(issuers.check.gates());
    let acknowledged = std::mem::take(&mut *story.acknowledged.lock());
    report.gates.push(read_back(&target.admin()?, &acknowledged).await?);
    target.stop().await?;
    Ok(report)
}

/// The leader of several replicas, or the only server. Returns its position while it is down.
async fn kill(target: &mut Target) -> anyhow::Result<Option<usize>> {
    target.progress.step("SIGKILL", 0);
    let cluster = target.started()?;
    if cluster.servers.len() > 1 {
        let leader = cluster.leader().await?;
        cluster.servers[leader].kill9().await?;
        return Ok(Some(leader));
    }
    let server = cluster.servers.first_mut().context("no server")?;
    server.kill9().await?;
    server.launch()?;
    Ok(None)
}

async fn bring_back(target: &mut Target, killed: Option<usize>) -> anyhow::Result<()> {
    let Some(position) = killed else { return Ok(()) };
    target.progress.step("starting it again", 0);
    let server = &mut target.started()?.servers[position];
    server.launch()?;
    server.ready().await
}

impl Story {
    /// Turns to another replica whenever one has no answer.
    async fn write(self: Arc<Self>, client: usize, replicas: Vec<Admin>, pause: Duration) {
        let (mut ticks, mut replica) = (ticks(pause), client);
        for number in 0_u64.. {
            ticks.tick().await;
            let parent = types::Spiffeid { trust_domain: self.trust_domain.clone(), path: format!("/writer/{client}") };
            let entry = Wanted { path: format!("/written/{client}/{number}"), parent }.entry();
            // Repeated until it is acknowledged: what is there already was written by an attempt without an answer.
            loop {
                let admin = &replicas[replica % replicas.len()];
                match in_time(write(admin, entry.clone())).await {
                    Ok(id) => {
                        self.acknowledged.lock().push(id);
                        self.writes.lock().succeeded(client, self.began.elapsed());
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
            while let Err(error) = in_time(issuers.x509(issuers.of_agent(client, number), 1)).await {
                self.issues.lock().failed(&error);
                issuers.agents[client].turn_away();
                sleep(RETRY).await;
            }
            self.issues.lock().succeeded(client, self.began.elapsed());
        }
    }
}

impl Diary {
    fn succeeded(&mut self, client: usize, at: Duration) {
        self.successes.entry(client).or_default().push(at);
    }

    fn failed(&mut self, error: &anyhow::Error) {
        let code = error.downcast_ref::<tonic::Status>().map(|status| format!("{:?}", status.code()));
        *self.failures.entry(code.unwrap_or_else(|| error.to_string())).or_default() += 1;
    }

    fn readings(self, name: &str, end: Duration) -> Vec<Reading> {
        let all: Vec<Duration> = self.successes.values().flatten().copied().collect();
        let count = all.len() as f64;
        let (gap, _) = longest_gap(all, end);
        let of_one = self.successes.into_values().map(|successes| longest_gap(successes, end).0).max();
        let failures: u64 = self.failures.values().sum();
        let milliseconds = |gap: Duration| gap.as_secs_f64() * 1e3;
        vec![
            Reading::less(format!("{name}: longest gap of all clients together"), milliseconds(gap), "ms"),
            Reading::less(format!("{name}: longest gap of one client"), milliseconds(of_one.unwrap_or(end)), "ms"),
            Reading::less(format!("{name}: failed calls"), failures as f64, ""),
            Reading::fact(format!("{name}: done"), count, ""),
        ]
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

const CLIENTS: usize = 4;
const ENTRIES: usize = 10;
const SECONDS: u16 = 30;
const CALL_MAX: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_of_one_client_is_not_hidden_by_the_others() {
        let mut diary = Diary::default();
        for second in 0..10 {
            diary.succeeded(0, Duration::from_secs(second));
        }
        diary.succeeded(1, Duration::from_secs(1));
        diary.failed(&anyhow::anyhow!("gone"));
        let values: Vec<f64> = diary.readings("writes", Duration::from_secs(10)).iter().map(|row| row.value).collect();
        assert_eq!(values, [1_000.0, 9_000.0, 1.0, 11.0]);
    }
}
