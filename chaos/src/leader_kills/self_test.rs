//! Whether a run can fail: the same checker against histories that are not true, and the same run against replicas
//! whose syncs come late.

use std::path::Path;

use anyhow::{bail, ensure};

use super::history::{Answer, Call, Key, Line};
use super::judge::Verdict;
use super::kept::Checking;
use super::options::RunArgs;
use super::run::Stage;
use crate::journal;

/// Enough faults to have histories worth tampering with.
const KILLS: u32 = 3;
/// Whether a late sync loses an acknowledged write is a matter of milliseconds; one cut in several will.
const LATE_POWER_CUTS: u32 = 6;
/// A cluster that lost what it had promised may be unable to go on before anybody can ask what it lost.
const LATE_RUNS_MAX: u32 = 3;

/// Changes a history into one that no correct cluster has; false if it holds nothing to change.
type Tamper = fn(&mut Vec<Line>) -> bool;
/// What the checker has to find in it.
type Found = fn(&Verdict) -> &[String];

pub(super) async fn self_test(args: &RunArgs) -> anyhow::Result<()> {
    println!("an honest run has to pass");
    let honest = RunArgs { self_test: false, count: KILLS, power_cuts: 1, ..args.clone() };
    let mut stage = Stage::set(&honest).await?;
    stage.drive(&honest).await?;
    ensure!(stage.check(Checking::Answers).await?, "the honest run failed; see {}", stage.kept.report.display());

    let true_history: Vec<Line> = journal::read(&stage.kept.history)?;
    stage.kept = stage.kept.tampered();
    for (what, tamper, found) in TAMPERED {
        println!("{what}: the checker has to object");
        let mut lines = true_history.clone();
        ensure!(tamper(&mut lines), "the history has nothing to tamper with");
        write(&stage.kept.history, &lines)?;
        ensure!(!found(&stage.judged().await?).is_empty(), "the checker did not object: {what}");
    }
    drop(stage);

    println!("replicas that acknowledge before their flush: acknowledged writes have to be lost");
    let late = RunArgs { count: 0, power_cuts: LATE_POWER_CUTS, late_syncs: true, ..honest };
    for run in 1..=LATE_RUNS_MAX {
        let mut stage = Stage::set(&late).await?;
        let driven = stage.drive(&late).await;
        match losses(driven, stage.judged().await) {
            Ok(lost) => {
                println!("  {lost} lost\nthe self-test passed: each of these was found");
                return Ok(());
            }
            Err(error) => println!("  run {run} of {LATE_RUNS_MAX} at most: {error:#}"),
        }
    }
    bail!("syncs came late, and no run showed that an acknowledged write was lost")
}

/// How many acknowledged writes a run lost. Only they are proof: whatever else goes wrong, goes wrong on a broken
/// machine too, where no sync comes late.
fn losses(driven: anyhow::Result<()>, judged: anyhow::Result<Verdict>) -> anyhow::Result<usize> {
    match (driven, judged) {
        (_, Ok(verdict)) if !verdict.lost.is_empty() => Ok(verdict.lost.len()),
        (Err(error), _) => Err(error.context("it did not come to its end, which proves nothing")),
        (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(_)) => bail!("nothing was lost"),
    }
}

const TAMPERED: [(&str, Tamper, Found); 4] = [
    ("an acknowledged create that never was", a_create_that_never_was, |verdict| &verdict.lost),
    ("a second id for one entry", a_second_id, |verdict| &verdict.duplicates),
    ("an empty list", |lines| empty_lists(lines), |verdict| &verdict.short),
    ("a state hash that differs at one index", another_state_hash, |verdict| &verdict.diverged),
];

fn a_create_that_never_was(lines: &mut Vec<Line>) -> bool {
    let key = Key { writer: 0, number: u32::MAX };
    push(lines, Call::Create { key }, Answer::Created { id: "never-created".to_owned() })
}

fn a_second_id(lines: &mut Vec<Line>) -> bool {
    let Some(key) = created(lines) else { return false };
    push(lines, Call::Create { key }, Answer::Created { id: "another-id".to_owned() })
}

fn empty_lists(lines: &mut [Line]) -> bool {
    let mut any = false;
    for line in lines.iter_mut() {
        if let Line::Return { answer: Answer::Listed { numbers }, .. } = line {
            any |= !numbers.is_empty();
            numbers.clear();
        }
    }
    any
}

fn another_state_hash(lines: &mut Vec<Line>) -> bool {
    let sample = lines.iter().find(|line| matches!(line, Line::Sample { .. })).cloned();
    let Some(Line::Sample { at_us, replica, applied_index, .. }) = sample else { return false };
    lines.push(Line::Sample { at_us, replica, applied_index, state_hash: "00".to_owned() });
    true
}

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

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_a_lost_write_proves_that_syncs_came_late() {
        let lost = || Ok(Verdict { lost: vec!["/a: not on replica 0".to_owned()], ..Verdict::default() });
        let other = || Ok(Verdict { short: vec!["/a is missing".to_owned()], ..Verdict::default() });
        assert_eq!(losses(Ok(()), lost()).unwrap(), 1);
        assert_eq!(losses(Err(anyhow!("no leader")), lost()).unwrap(), 1);
        for judged in [Ok(Verdict::default()), other(), Err(anyhow!("no verdict"))] {
            assert!(losses(Ok(()), judged).is_err());
        }
        for judged in [Ok(Verdict::default()), other(), Err(anyhow!("no verdict"))] {
            let error = losses(Err(anyhow!("a replica does not start")), judged).unwrap_err();
            assert_eq!(
                format!("{error:#}"),
                "it did not come to its end, which proves nothing: a replica does not start"
            );
        }
    }
}
