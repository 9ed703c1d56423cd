//! The checker: reads the history, then every replica, and judges. It is run as a process of its own and has never seen
//! what the clients saw.

use anyhow::Context as _;

use super::figures::Figures;
use super::history::Line;
use super::judge::judge;
use super::options::CheckArgs;
use super::read_back::read_back;
use super::report::Report;
use crate::journal;

/// Whether the run kept its promises. Prints the report.
pub async fn check(args: CheckArgs) -> anyhow::Result<bool> {
    let history: Vec<Line> = journal::read(&args.history)?;
    let replicas = read_back(&args.replicas).await?;
    let report = Report::new(Figures::of(&history), judge(&history, &replicas), !args.answers_only);
    let file =
        std::fs::File::create(&args.report).with_context(|| format!("cannot write {}", args.report.display()))?;
    serde_json::to_writer_pretty(file, &report)?;
    if args.answers_only {
        println!("  {}", report.brief());
    } else {
        print!("{report}");
    }
    Ok(report.passed)
}
