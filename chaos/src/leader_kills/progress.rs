//! How far a run is: a line that is written over on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use super::history::Recorder;

/// Where no terminal shows the progress.
const TOLD_EVERY: u32 = 10;

pub(super) struct Progress<'r> {
    began: Instant,
    recorder: &'r Recorder,
    terminal: bool,
}

impl<'r> Progress<'r> {
    pub(super) fn new(recorder: &'r Recorder) -> Self {
        Self { began: Instant::now(), recorder, terminal: std::io::stdout().is_terminal() }
    }

    pub(super) fn tell(&self, what: &str, number: u32, of: u32) {
        let last = number == of;
        let seconds = self.began.elapsed().as_secs_f64();
        let line = format!("{seconds:>6.0} s  {what} {number} of {of}, {} calls succeeded", self.recorder.successes());
        if self.terminal {
            print!("\r{line}{}", if last { "\n" } else { "" });
            // A progress line that is not seen is no reason to stop.
            let _ = std::io::stdout().flush();
        } else if last || number.is_multiple_of(TOLD_EVERY) {
            println!("{line}");
        }
    }
}
