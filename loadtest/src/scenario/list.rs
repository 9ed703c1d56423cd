//! Everything listed, page by page.

use clap::Args;
use tokio::time::Instant;

use super::many_entries::fill;
use crate::gates::{PAGE_ENTRIES, listing};
use crate::load::Latency;
use crate::report::{Gate, Reading, Report, Window};
use crate::target::{Options, Target};

/// ListEntries of 100,000 entries in pages of 1,000 without a mask, again and again for 10 s. W14.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub entries: u32,
    /// Entries of a page.
    #[arg(long, default_value_t = PAGE_ENTRIES, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub page: i32,
}

pub(crate) async fn run(options: &Options, args: &ListArgs) -> anyhow::Result<Report> {
    let duration = options.seconds(SECONDS)?;
    let target = Target::start(options).await?;
    fill(&target, u64::from(args.entries)).await?;
    let admin = target.admin()?;
    let (mut listings, mut short, mut listed, mut pages) = (0, 0, 0_u64, Latency::new()?);
    target.progress.step(format!("listing for {duration:?}"), 0);
    let window = Window::open("listing", target.pids())?;
    let began = Instant::now();
    while began.elapsed() < duration {
        let mut asked = Instant::now();
        let found = listing(&admin, args.page, |entries| {
            pages.record(asked.elapsed());
            asked = Instant::now();
            listed += entries as u64;
        })
        .await?;
        listings += 1;
        short += u64::from(found.len() != args.entries as usize);
    }
    let (usage, seconds) = (window.close()?, began.elapsed().as_secs_f64());
    let shown = format!("--entries {} --page {} --seconds {}", args.entries, args.page, duration.as_secs());
    let mut report = target.report("list", &shown);
    report.readings.push(Reading::more("entries listed", usage.per_cpu_second(listed as f64), "a CPU-second"));
    report.readings.push(Reading::more("entries listed, wall rate", listed as f64 / seconds, "a second"));
    report.readings.extend(Reading::latencies("  a page", pages.quantiles()));
    report.windows.push(usage);
    let detail = format!("{listings} listings of {} entries, {short} of another number", args.entries);
    report.gates.push(Gate::new("every listing is whole", short == 0, detail));
    target.stop().await?;
    Ok(report)
}

const SECONDS: u16 = 10;
