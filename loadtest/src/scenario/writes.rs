//! Entries written: one by one, by many, in batches; then the server killed and everything read back.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use parking_lot::Mutex;
use steeple_testkit::Admin;
use tokio::time::Instant;

use super::fsync::flush_times;
use crate::gates::read_back;
use crate::load::closed_loop;
use crate::report::{Reading, Report, Window};
use crate::target::{Options, Target, Wanted, batch_create};

/// BatchCreateEntry over the admin socket, 10 s each: one writer with one entry a call, 64 writers with one, one writer
/// with 500. Then SIGKILL, a start, and every acknowledged entry is looked for (a server that was started elsewhere is
/// not killed). W8.
#[derive(Args, Clone, Debug)]
pub struct WritesArgs {
    /// Writers of the second stretch.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub writers: u16,
    /// Entries in a call of the third stretch.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub batch: u16,
}

/// What all stretches write to.
struct Book {
    acknowledged: Mutex<Vec<String>>,
    trust_domain: String,
}

pub(crate) async fn run(options: &Options, args: &WritesArgs) -> anyhow::Result<Report> {
    let duration = options.seconds(SECONDS)?;
    let mut target = Target::start(options).await?;
    let shown = format!("--seconds {} --writers {} --batch {}", duration.as_secs(), args.writers, args.batch);
    let mut report = target.report("writes", &shown);
    target.progress.step("timing flushes of the disk", 0);
    report
        .readings
        .extend(Reading::latencies("4 KiB appended and flushed", flush_times(&target.scratch().join("flush"))?));

    let trust_domain = target.trust_domain().name().to_owned();
    let book = Arc::new(Book { acknowledged: Mutex::default(), trust_domain });
    let stretches = [(1, 1), (usize::from(args.writers), 1), (1, usize::from(args.batch))];
    for (number, (writers, batch)) in stretches.into_iter().enumerate() {
        write(&target, &mut report, &book, number, (writers, batch), duration).await?;
    }
    let started_here = options.address.is_empty();
    if started_here {
        restart(&mut target, &mut report).await?;
    }
    target.progress.step("reading back", 0);
    let acknowledged = std::mem::take(&mut *book.acknowledged.lock());
    report.gates.push(read_back(&target.admin()?, &acknowledged).await?);
    target.stop().await?;
    Ok(report)
}

async fn write(
    target: &Target,
    report: &mut Report,
    book: &Arc<Book>,
    stretch: usize,
    (writers, batch): (usize, usize),
    duration: Duration,
) -> anyhow::Result<()> {
    let name = format!("{writers} writer(s) x {batch}");
    target.progress.step(format!("{name} for {duration:?}"), 0);
    let connections: Vec<Admin> =
        (0..writers.min(CONNECTIONS_MAX)).map(|_| target.admin()).collect::<anyhow::Result<_>>()?;
    let clients = (0..writers).map(|writer| {
        let (admin, book) = (connections[writer % connections.len()].clone(), Arc::clone(book));
        move |number: u64| {
            let (admin, book) = (admin.clone(), Arc::clone(&book));
            async move {
                let entries = (0..batch).map(|at| book.entry(stretch, number * batch as u64 + at as u64));
                let ids = batch_create(&admin, entries.collect()).await?;
                book.acknowledged.lock().extend(ids);
                Ok(())
            }
        }
    });
    let window = Window::open(&name, target.pids())?;
    let done = closed_loop(clients.collect(), duration).await?;
    let usage = window.close()?;
    let entries = done.calls as f64 * batch as f64;
    report.readings.push(Reading::more(format!("entries created, {name}"), entries / done.seconds, "a second"));
    report.readings.push(Reading::more("  for each CPU-second", usage.per_cpu_second(entries), "a CPU-second"));
    report.readings.extend(Reading::latencies("  a call", done.latency.quantiles()));
    report.windows.push(usage);
    Ok(())
}

/// Nothing is flushed by that, as a power cut would need: it shows that what was acknowledged was committed.
async fn restart(target: &mut Target, report: &mut Report) -> anyhow::Result<()> {
    target.progress.step("SIGKILL and start", 0);
    let servers = &mut target.started()?.servers;
    for server in servers.iter_mut() {
        server.kill9().await?;
    }
    let began = Instant::now();
    for server in servers.iter_mut() {
        server.launch()?;
    }
    for server in servers.iter_mut() {
        server.ready().await?;
    }
    report.readings.push(Reading::less("start after SIGKILL to ready", began.elapsed().as_secs_f64() * 1e3, "ms"));
    Ok(())
}

impl Book {
    fn entry(&self, stretch: usize, number: u64) -> steeple_api::types::Entry {
        let path = format!("/node/{stretch}/{}", number / ENTRIES_OF_A_PARENT);
        let parent = steeple_api::types::Spiffeid { trust_domain: self.trust_domain.clone(), path };
        Wanted { path: format!("/load/{stretch}/{number}"), parent }.entry()
    }
}

const SECONDS: u16 = 10;
/// Writers share connections: gRPC has a hundred calls and more on one.
const CONNECTIONS_MAX: usize = 32;
const ENTRIES_OF_A_PARENT: u64 = 100;
