//! Runs the suites of a plan and prints what they came to.

use std::panic::resume_unwind;
use std::time::Instant;

use anyhow::Result;

use super::plan::{Choice, Lane, Stage, Suite, stages};
use super::progress::say;
use super::tally::{Row, Table, Tally};
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;

/// All chosen suites run, whatever happens to the ones before: one call tells everything that is wrong. Gives whether
/// nothing failed; the table has said so already.
pub fn run(choice: &Choice) -> Result<bool> {
    let suites = choice.suites()?;
    let workshop = Workshop::open()?;
    let started = Instant::now();
    let mut done: Vec<(&Suite, Vec<Row>)> =
        stages(&suites).iter().flat_map(|stage| side_by_side(&workshop, stage)).collect();
    // In the order of the plan, whichever lane was the quicker.
    done.sort_by_key(|(ran, _)| suites.iter().position(|suite| suite.name == ran.name));
    let rows: Vec<Row> = done.into_iter().flat_map(|(_, rows)| rows).collect();
    println!("\nfinished after {} s\n", started.elapsed().as_secs());
    print!("{}", Table(&rows));
    Ok(rows.iter().all(|row| row.tally.failed == 0))
}

fn side_by_side(workshop: &Workshop, stage: &Stage) -> Vec<(&'static Suite, Vec<Row>)> {
    let lane = |lane: &Lane| -> Vec<_> { lane.iter().map(|suite| (*suite, one(workshop, suite))).collect() };
    let [_, _, ..] = stage.as_slice() else { return stage.iter().flat_map(lane).collect() };
    // The seconds of a suite are its own: no lane waits for the build. A failure is repeated by every suite.
    if let Err(error) = workshop.artifacts() {
        say(&format!("{error:#}"));
    }
    std::thread::scope(|scope| {
        let lanes: Vec<_> = stage.iter().map(|suites| scope.spawn(|| lane(suites))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
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
        say(&format!("{suite}: {} passed, {} failed, {seconds:.0} s", tally.passed, tally.failed));
    }
    if let Some(complaint) = verdict.complaint {
        say(&complaint);
    }
    rows
}
