//! One process of a suite: its output goes to a log, a line says that it is still at work, and it may not run for ever.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

use anyhow::{Context, Result};

use super::progress::{CARGO_MESSAGE, Progress};

/// A process that ended, or was ended.
#[derive(Debug)]
pub struct Execution {
    pub log: PathBuf,
    /// What it said, standard output and standard error in their order.
    pub output: String,
    pub success: bool,
}

/// Nothing takes so long, except the first build on a slow machine. Without a limit, one hung test would use up the
/// time of all suites after it.
const SECONDS_MAX: u64 = 45 * 60;
/// Of a failed suite's log.
const TAIL_LINES_MAX: usize = 60;

impl Execution {
    /// Runs to the end. `title` is what the progress line calls it.
    pub fn run(title: &str, log: &Path, mut command: Command, progress: &Progress) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        // The command holds the log open for writing.
        drop(command);

        let started = Instant::now();
        let shown = progress.begin(title, log);
        let (ended, end) = channel();
        let success = std::thread::scope(|scope| -> Result<bool> {
            let pid = child.id();
            scope.spawn(move || ended.send(child.wait()));
            let mut stopped = false;
            loop {
                match end.recv_timeout(progress.every()) {
                    Ok(status) => return Ok(status?.success() && !stopped),
                    Err(RecvTimeoutError::Disconnected) => return Ok(false),
                    Err(RecvTimeoutError::Timeout) => shown.show(),
                }
                if !stopped && started.elapsed().as_secs() >= SECONDS_MAX {
                    stopped = true;
                    kill(pid, log)?;
                }
            }
        })?;
        drop(shown);
        let output = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
        Ok(Self { log: log.to_owned(), output, success })
    }

    /// The last lines for people, and where the rest is.
    pub fn tail(&self) -> String {
        let lines: Vec<&str> = self.output.lines().filter(|line| !line.starts_with(CARGO_MESSAGE)).collect();
        let from = lines.len().saturating_sub(TAIL_LINES_MAX);
        format!("{}\n(whole log: {})", lines[from..].join("\n"), self.log.display())
    }
}

fn kill(pid: u32, log: &Path) -> Result<()> {
    let mut file = File::options().append(true).open(log)?;
    writeln!(file, "\nended after {SECONDS_MAX} s")?;
    Command::new("kill").args(["-KILL", &pid.to_string()]).status().context("running kill")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Execution {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Execution::run("test", &folder.path().join("log"), command, &Progress::default()).unwrap()
    }

    #[test]
    fn messages_for_programs_are_left_out() {
        let execution = shell("echo '{\"reason\":\"x\"}'; echo words; exit 1");
        assert!(execution.tail().starts_with("words\n"), "{}", execution.tail());
    }

    #[test]
    fn output_keeps_its_order() {
        let execution = shell("echo one; echo two >&2; echo three");
        assert_eq!((execution.output.as_str(), execution.success), ("one\ntwo\nthree\n", true));
    }

    #[test]
    fn the_exit_code_counts_and_the_tail_is_short() {
        let execution = shell("seq 100; exit 3");
        assert!(!execution.success);
        assert!(execution.tail().starts_with("41\n42\n"), "{}", execution.tail());
    }
}
