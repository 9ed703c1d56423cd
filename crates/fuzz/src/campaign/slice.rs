//! One run of the engine on one target.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::{Figures, TARGET_VARIABLE};

/// The tally is on disk this often, in seconds of the clock.
const SLICE_SECONDS_MAX: u64 = 60;
/// Larger inputs are larger, not different.
const INPUT_BYTES_MAX: u64 = 16 << 10;
/// A parser that needs more for [`INPUT_BYTES_MAX`] is a finding.
const RSS_MIB_MAX: u64 = 1024;
/// And so is one that needs longer, in seconds, on a machine that has other things to do.
const INPUT_SECONDS_MAX: u64 = 30;

/// For at most `seconds` of the clock.
pub fn run(engine: &Path, out: &Path, target: &str, seconds: u64) -> Result<Figures> {
    let log = out.join("logs").join(format!("{target}.log"));
    let before = children_cpu_ms()?;
    let status = Command::new(engine)
        .env(TARGET_VARIABLE, target)
        .arg(out.join("corpus").join(target))
        .arg(format!("-artifact_prefix={}/findings/{target}-", out.display()))
        .arg(format!("-max_total_time={}", seconds.clamp(1, SLICE_SECONDS_MAX)))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-rss_limit_mb={RSS_MIB_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg("-print_final_stats=1")
        .stdout(File::create(log.with_extension("out"))?)
        .stderr(File::create(&log)?)
        .status()
        .with_context(|| format!("running {}", engine.display()))?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let executions = stat(&said, "number_of_executed_units");
    ensure!(executions.is_some(), "the engine gave no figures: {status}; see {}", log.display());
    let figures = Figures {
        executions: executions.unwrap_or_default(),
        cpu_ms: children_cpu_ms()?.saturating_sub(before),
        findings: u64::from(!status.success()),
        peak_rss_mib: stat(&said, "peak_rss_mb").unwrap_or_default(),
    };
    ensure!(figures.cpu_ms > 0, "the engine used no processor: {status}; see {}", log.display());
    Ok(figures)
}

fn stat(said: &str, name: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

/// Of all children that have ended, user and system.
fn children_cpu_ms() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let used = usage.user_time() + usage.system_time();
    Ok(u64::try_from(used.num_milliseconds())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_figures_are_read() {
        let said = "Done 7 runs in 1 second(s)\nstat::number_of_executed_units: 7\nstat::peak_rss_mb:     41\n";
        assert_eq!((stat(said, "number_of_executed_units"), stat(said, "peak_rss_mb")), (Some(7), Some(41)));
        assert_eq!(stat(said, "average_exec_per_sec"), None);
    }
}
