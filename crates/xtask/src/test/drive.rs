//! Runs the suites of a plan and prints what they came to.

use std::time::Instant;

use anyhow::Result;

use super::plan::{Choice, Suite};
use super::tally::{Row, Table, Tally};
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;

/// All chosen suites run, whatever happens to the ones before: one call tells everything that is wrong. Gives whether
/// nothing failed; the table has said so already.
pub fn run(choice: &Choice) -> Result<bool> {
    let suites = choice.suites()?;
    let workshop = Workshop::open()?;
    let started = Instant::now();
    let rows: Vec<Row> = suites.into_iter().flat_map(|suite| one(&workshop, suite)).collect();
    println!("\nfinished after {} s\n", started.elapsed().as_secs());
    print!("{}", Table(&rows));
    Ok(rows.iter().all(|row| row.tally.failed == 0))
}

fn one(workshop: &Workshop, suite: &Suite) -> Vec<Row> {
    let started = Instant::now();
    let verdict = (suite.run)(workshop).unwrap_or_else(|error| Verdict {
        counted: Counted::Whole(Tally::FAILED),
        complaint: Some(format!("{error:#}")),
    });
    let rows = match verdict.counted {
        Counted::Rows(rows) => rows,
        Counted::Whole(tally) => {
            vec![Row { suite: suite.name.to_owned(), tally, seconds: started.elapsed().as_secs_f64() }]
        }
    };
    for Row { suite, tally, seconds } in &rows {
        println!("{suite}: {} passed, {} failed, {seconds:.0} s", tally.passed, tally.failed);
    }
    if let Some(complaint) = verdict.complaint {
        println!("{complaint}");
    }
    rows
}
