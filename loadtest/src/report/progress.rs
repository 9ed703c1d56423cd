//! How far a run is: a line that is written over on a terminal, a line for each step elsewhere. All on standard error,
//! so that a report on standard output stays one.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What is shown of a run.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    terminal: bool,
    step: Mutex<Step>,
    done: AtomicU64,
}

#[derive(Debug)]
struct Step {
    what: String,
    of: u64,
    shown_at: Instant,
}

impl Progress {
    pub fn new() -> Self {
        let now = Instant::now();
        let step = Step { what: String::new(), of: 0, shown_at: now };
        Self { began: now, terminal: std::io::stderr().is_terminal(), step: Mutex::new(step), done: AtomicU64::new(0) }
    }

    /// The next step, of `of` parts; 0 when it cannot be counted.
    pub fn step(&self, what: impl Into<String>, of: u64) {
        let mut step = self.step.lock();
        *step = Step { what: what.into(), of, shown_at: Instant::now() };
        self.done.store(0, Ordering::Relaxed);
        let line = self.line(&step, 0);
        if self.terminal { overwrite(&line) } else { eprintln!("{line}") }
    }

    /// Parts of the step that are done now.
    pub fn add(&self, parts: u64) {
        let done = self.done.fetch_add(parts, Ordering::Relaxed) + parts;
        if !self.terminal {
            return;
        }
        let Some(mut step) = self.step.try_lock() else { return };
        if step.shown_at.elapsed() >= SHOWN_EVERY {
            step.shown_at = Instant::now();
            overwrite(&self.line(&step, done));
        }
    }

    /// Leaves the terminal to the report.
    pub fn end(&self) {
        if self.terminal {
            overwrite("");
        }
    }

    fn line(&self, step: &Step, done: u64) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        match (step.of, done) {
            (0, 0) => format!("{seconds:>6.1} s  {}", step.what),
            (0, done) => format!("{seconds:>6.1} s  {}: {done}", step.what),
            (of, done) => format!("{seconds:>6.1} s  {}: {done} of {of}", step.what),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns to the first column and clears to the end of the line.
fn overwrite(line: &str) {
    let mut stderr = std::io::stderr().lock();
    // A line that is not seen is no reason to stop.
    let _ = write!(stderr, "\r\x1b[K{line}");
    let _ = stderr.flush();
}

const SHOWN_EVERY: Duration = Duration::from_millis(100);
