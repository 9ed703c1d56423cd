//! A large registry: what it weighs, how soon it is there after a start, what it costs when nothing happens.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use steeple_api::server::entry::CountEntriesRequest;
use steeple_api::types;
use steeple_testkit::until;
use tokio::time::{Instant, sleep};

use crate::fleet::{Known, sync};
use crate::report::{Gate, Reading, Report, Window};
use crate::target::{Options, Target, Wanted, batch_create, create_all, until_authorized};
use crate::usage::cpu_seconds;

/// 100,000 entries, 100 for each parent: resident memory of each; a stop and a start, from exec to ready and to one
/// agent's whole set; the idle CPU for 20 s after it. W10, W11.
#[derive(Args, Clone, Debug)]
pub struct ManyEntriesArgs {
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub entries: u32,
}

pub(crate) async fn run(options: &Options, args: &ManyEntriesArgs) -> anyhow::Result<Report> {
    let duration = options.seconds(SECONDS)?;
    let settle = SETTLE.min(duration);
    let mut target = Target::start(options).await?;
    sleep(settle).await;
    let empty_bytes = target.resident_bytes()?;
    let agents = target.agents(1, |_| "node".to_owned()).await?;
    let agent = agents.first().cloned().ok_or_else(|| anyhow::anyhow!("no agent"))?;
    let own = |number| Wanted { path: format!("/own/{number}"), parent: agent.id.clone() }.entry();
    batch_create(&target.admin()?, (0..ENTRIES_OF_A_PARENT).map(own).collect()).await?;

    let mut report =
        target.report("many-entries", &format!("--entries {} --seconds {}", args.entries, duration.as_secs()));
    let (window, began) = (Window::open("loading", target.pids())?, Instant::now());
    fill(&target, u64::from(args.entries)).await?;
    let loaded = f64::from(args.entries);
    report.readings.push(Reading::more("loaded", loaded / began.elapsed().as_secs_f64(), "entries a second"));
    report.windows.push(window.close()?);
    until_authorized(&agents, ENTRIES_OF_A_PARENT as usize, &target.progress).await?;
    target.progress.step(format!("letting memory settle for {settle:?}"), 0);
    sleep(settle).await;
    let weight = |bytes: u64| bytes.saturating_sub(empty_bytes) as f64 / loaded;
    report.readings.push(Reading::less("resident for an entry, loaded", weight(target.resident_bytes()?), "bytes"));

    target.progress.step("stopping and starting", 0);
    let server = target.started_alone()?;
    server.stop().await?;
    let began = Instant::now();
    server.launch()?;
    let pid = server.process().map_or(0, |process| process.pid());
    let set = until("the agent has its whole set", START_MAX, async || {
        agent.reconnect();
        let entries = sync(&agent.channel(), &mut Known::new()).await?.entries;
        ensure!(entries == ENTRIES_OF_A_PARENT as usize, "{entries} entries");
        anyhow::Ok(())
    });
    set.await?;
    report.readings.push(Reading::less("start to one agent's whole set", began.elapsed().as_secs_f64(), "s"));
    report.readings.push(Reading::less("  CPU until then", cpu_seconds(pid)?, "s"));
    sleep(settle).await;
    report.readings.push(Reading::less("resident for an entry, restarted", weight(target.resident_bytes()?), "bytes"));

    target.progress.step(format!("doing nothing for {duration:?}"), 0);
    let window = Window::open("idle", target.pids())?;
    sleep(duration).await;
    let usage = window.close()?;
    report.readings.push(Reading::less("idle CPU", usage.server_cpu_share, "cores"));
    report.windows.push(usage);

    let found = target.admin()?.entries().count_entries(CountEntriesRequest::default()).await?.into_inner().count;
    let wanted = i64::from(args.entries) + ENTRIES_OF_A_PARENT as i64;
    let detail = format!("{found} of {wanted} after the restart");
    report.gates.push(Gate::new("every entry is there", i64::from(found) == wanted, detail));
    target.stop().await?;
    Ok(report)
}

/// `count` entries, 100 for each parent.
pub(super) async fn fill(target: &Target, count: u64) -> anyhow::Result<Vec<String>> {
    let trust_domain = target.trust_domain().name().to_owned();
    let entry = move |number: u64| {
        let path = format!("/node/{}", number / ENTRIES_OF_A_PARENT);
        let parent = types::Spiffeid { trust_domain: trust_domain.clone(), path };
        Wanted { path: format!("/load/{number}"), parent }.entry()
    };
    create_all(|| target.admin(), count, entry, &target.progress).await
}

const SECONDS: u16 = 20;
const ENTRIES_OF_A_PARENT: u64 = 100;
/// At most, until memory that only the work needed has been given back.
const SETTLE: Duration = Duration::from_secs(5);
const START_MAX: Duration = Duration::from_secs(120);
