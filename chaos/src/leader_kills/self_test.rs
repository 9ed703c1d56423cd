//! Whether a run can fail: the same checker against histories that are not true, and the same run against replicas
//! whose syncs come late.

use std::path::Path;

use anyhow::ensure;

use super::history::{Answer, Call, Key, Line};
use super::kept::Checking;
use super::options::RunArgs;
use super::run::Stage;
use crate::journal;

/// Enough faults to have histories worth tampering with.
const KILLS: u32 = 3;
/// Whether a late sync loses an acknowledged write is a matter of milliseconds; one cut in several will.
const LATE_POWER_CUTS: u32 = 6;

/// Changes a history into one that no correct cluster has; false if it holds nothing to change.
type Tamper = fn(&mut Vec<Line>) -> bool;

pub(super) async fn self_test(args: &RunArgs) -> anyhow::Result<()> {
    println!("an honest run has to pass");
    let honest = RunArgs { self_test: false, count: KILLS, power_cuts: 1, ..args.clone() };
    let mut stage = Stage::set(&honest).await?;
    stage.drive(&honest).await?;
    ensure!(stage.check(Checking::Answers).await?, "the honest run failed; see {}", stage.kept.report.display());

    let true_history: Vec<Line> = journal::read(&stage.kept.history)?;
    stage.kept = stage.kept.tampered();
    for (what, tamper) in TAMPERED {
        println!("{what}: the checker has to object");
        let mut lines = true_history.clone();
        ensure!(tamper(&mut lines), "the history has nothing to tamper with");
        write(&stage.kept.history, &lines)?;
        ensure!(!stage.check(Checking::Answers).await?, "the checker did not object: {what}");
    }
    drop(stage);

    println!("replicas that acknowledge before their flush: the run has to fail");
    let late = RunArgs { count: 0, power_cuts: LATE_POWER_CUTS, late_syncs: true, ..honest };
    let mut stage = Stage::set(&late).await?;
    match stage.drive(&late).await {
        Ok(()) => ensure!(!stage.check(Checking::Answers).await?, "the run passed although syncs came late"),
        // A cluster that lost what it had promised may also be unable to go on.
        Err(error) => println!("  it did not come to its end: {error:#}"),
    }
    println!("the self-test passed: each of these was found");
    Ok(())
}

const TAMPERED: [(&str, Tamper); 4] = [
    ("an acknowledged create that never was", |lines| {
        let key = Key { writer: 0, number: u32::MAX };
        push(lines, Call::Create { key }, Answer::Created { id: "never-created".to_owned() })
    }),
    ("a second id for one entry", |lines| {
        let Some(key) = created(lines) else { return false };
        push(lines, Call::Create { key }, Answer::Created { id: "another-id".to_owned() })
    }),
    ("an empty list", |lines| {
        let list = |answer: &Answer| matches!(answer, Answer::Listed { numbers } if !numbers.is_empty());
        let answers = lines.iter_mut().rev().filter_map(|line| match line {
            Line::Return { answer, .. } if list(answer) => Some(answer),
            _ => None,
        });
        let mut any = false;
        answers.for_each(|answer| {
            *answer = Answer::Listed { numbers: Vec::new() };
            any = true;
        });
        any
    }),
    ("a state hash that differs at one index", |lines| {
        let sample = lines.iter().find(|line| matches!(line, Line::Sample { .. })).cloned();
        let Some(Line::Sample { at_us, replica, applied_index, .. }) = sample else { return false };
        lines.push(Line::Sample { at_us, replica, applied_index, state_hash: "00".to_owned() });
        true
    }),
];

fn created(lines: &[Line]) -> Option<Key> {
    lines.iter().find_map(|line| match line {
        Line::Invoke { call: Call::Create { key }, .. } => Some(*key),
        _ => None,
    })
}

fn push(lines: &mut Vec<Line>, call: Call, answer: Answer) -> bool {
    let (op, at_us) = (u64::MAX, u64::MAX);
    lines.push(Line::Invoke { op, at_us, replica: 0, call });
    lines.push(Line::Return { op, at_us, answer });
    true
}

fn write(path: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    Ok(std::fs::write(path, text)?)
}
